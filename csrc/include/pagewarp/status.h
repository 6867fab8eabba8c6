// SPDX-License-Identifier: Apache-2.0
/// @file Status codes shared by kernels, launchers and bindings. Each maps to one stable `code` string in JavaScript.
#pragma once

typedef enum pw_status {
  PW_OK = 0,
  PW_INVALID_ARGUMENT,    ///< ERR_INVALID_ARGUMENT: a value outside what the call allows
  PW_SHAPE_MISMATCH,      ///< ERR_SHAPE_MISMATCH: shapes that do not fit together
  PW_UNSUPPORTED,         ///< ERR_UNSUPPORTED: a legal request that this backend has no kernel for
  PW_OUT_OF_MEMORY,       ///< ERR_OUT_OF_MEMORY
  PW_DISPOSED,            ///< ERR_DISPOSED: use after dispose()
  PW_STALE_PLAN,          ///< ERR_STALE_PLAN: a plan run with inputs that it was not made for
  PW_CACHE_EXHAUSTED,     ///< ERR_CACHE_EXHAUSTED: no free page in the KV cache
  PW_DEVICE_UNAVAILABLE,  ///< ERR_DEVICE_UNAVAILABLE: no such device, or the driver's reason why not
  PW_DEVICE_LOST,         ///< ERR_DEVICE_LOST: an earlier command broke the device context
  PW_INVALID_TOKEN,       ///< ERR_INVALID_TOKEN: a token id outside the vocabulary reached a kernel
  PW_INVALID_LOGITS,      ///< ERR_INVALID_LOGITS: logits with NaN, or a row without any finite value
  PW_INVALID_MODEL,       ///< ERR_INVALID_MODEL: a model file that breaks its format or its own counts
  PW_IO,                  ///< ERR_IO: the operating system refused to open or map a file
  PW_CANCELLED,           ///< ERR_CANCELLED: the stream was closed before the command ran
  PW_INTERNAL,            ///< ERR_INTERNAL: a bug in pagewarp
} pw_status;
