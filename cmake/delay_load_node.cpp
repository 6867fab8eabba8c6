// SPDX-License-Identifier: Apache-2.0
/// @file Windows only: resolves the Node-API symbols from the running executable, whatever it is called (node.exe,
/// electron.exe, a single-file application), instead of loading a second file named node.exe.
#include <windows.h>
// windows.h comes first
#include <delayimp.h>
#include <string.h>

static FARPROC WINAPI useRunningExecutable(unsigned int event, DelayLoadInfo* info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(GetModuleHandleW(nullptr));
}

decltype(__pfnDliNotifyHook2) __pfnDliNotifyHook2 = useRunningExecutable;
