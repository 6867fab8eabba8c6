#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the CUDA compiler, without driver and libraries, on GitHub's Ubuntu 22.04 runners, and puts it on the PATH of
# the steps that follow.
set -euo pipefail
release=13-0
case $(uname -m) in
  x86_64) platform=x86_64 ;;
  aarch64) platform=sbsa ;;
  *) echo "there is no CUDA toolkit for $(uname -m)" >&2 && exit 1 ;;
esac
keyring=$(mktemp --suffix=.deb)
curl --fail --silent --show-error --location --output "$keyring" \
  "https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2204/$platform/cuda-keyring_1.1-1_all.deb"
sudo dpkg --install "$keyring"
sudo apt-get update --quiet
sudo apt-get install --quiet --yes --no-install-recommends "cuda-nvcc-$release" "cuda-cudart-dev-$release"
echo "/usr/local/cuda-${release/-/.}/bin" >>"$GITHUB_PATH"
