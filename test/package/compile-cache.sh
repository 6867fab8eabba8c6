#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A compiler launcher (CMAKE_CXX_COMPILER_LAUNCHER) that keeps objects, so that building one tree in many ways compiles it
# once. An object is taken from PAGEWARP_COMPILE_CACHE when the same source in PAGEWARP_COMPILE_TREE was compiled with the
# same flags and every file that it included is unchanged. Usage: compile-cache.sh <compiler> <arguments>...
# It is a shell script since it runs for every object of every build: starting Node took longer than what it does.
set -eu
cache=${PAGEWARP_COMPILE_CACHE:-} tree=${PAGEWARP_COMPILE_TREE:-}

# What the flags mean for the object, apart from where things lie. cmake-js defines a macro for node.h, which nothing here
# includes.
source='' object='' dependencies='' target='' meaning='' previous=compiler
for argument; do
  case $previous in
    compiler) meaning=${argument##*/} ;;
    -c) source=$argument ;;
    -o) object=$argument ;;
    -MF) dependencies=$argument ;;
    -MT) target=$argument ;;
    -isystem) ;;
    *) case $argument in
      -I* | -c | -o | -MF | -MT | -isystem | -DBUILDING_NODE_EXTENSION | -Werror) ;;
      *) meaning="$meaning $argument" ;;
    esac ;;
  esac
  previous=$argument
done
if [ -z "$cache" ] || [ -z "$tree" ] || [ -z "$source" ] || [ -z "$object" ] || [ -z "$dependencies" ] || [ -z "$target" ]; then
  exec "$@"
fi
source=${source#"$tree"/}
key=$(printf '%s %s' "$source" "$meaning" | cksum | tr ' ' -)
entry=$cache/$(printf '%s' "$source" | tr '/ ' '__')-$key

# Checksums, sizes and names of the files whose names it reads; names within the tree are relative to it.
sums() {
  cd "$tree" && tr '\n' '\0' | xargs -0 cksum
}

if [ -e "$entry.sums" ] && cut -d ' ' -f 3- "$entry.sums" | sums 2>/dev/null | cmp -s - "$entry.sums"; then
  cp "$entry.o" "$object"
  {
    printf '%s:' "$target"
    cut -d ' ' -f 3- "$entry.sums" | sed -e "/^[^/]/s|^|$tree/|" -e 's/ /\\ /g' -e 's/^/ /' | tr '\n' ' '
    echo
  } >"$dependencies"
  exit 0
fi

"$@"
mkdir -p "$cache"
# One name a line: a name ends at a space that no backslash escapes.
part=$entry.$$ escaped=$(printf '\001')
if sed -e '1s/^[^:]*://' -e 's/\\$//' -e "s/\\\\ /$escaped/g" "$dependencies" | tr -s ' ' '\n' | tr "$escaped" ' ' |
  sed -e '/^$/d' -e "s|^[^/]|$PWD/&|" -e ':again' -e 's|/[^/.][^/]*/\.\./|/|' -e 'tagain' -e "s|^$tree/||" |
  sums >"$part.sums"; then
  cp "$object" "$part.o"
  # The list last, and complete when it appears: other processes may be looking.
  rm -f "$entry.sums"
  mv "$part.o" "$entry.o"
  mv "$part.sums" "$entry.sums"
else
  rm -f "$part.sums"
fi
