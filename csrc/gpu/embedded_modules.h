// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace pw::gpu {

/// A fatbin that is part of this binary: cuda/<name>.cu, compiled for every supported architecture.
struct EmbeddedModule {
  const char* name;
  const unsigned char* begin;
  const unsigned char* end;
};

/// All of them, ended by a row of null pointers; only that row in a build without device code. cmake/DeviceCode.cmake
/// generates the definition.
extern const EmbeddedModule kEmbeddedModules[];
/// The toolkit that compiled them: 13000 for CUDA 13.0, 0 in a build without device code.
extern const int kEmbeddedToolkitVersion;

}  // namespace pw::gpu
