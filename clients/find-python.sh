#!/usr/bin/env bash
# Prints the path of a Python that has gRPC. Fails, and says why, where what the Python client needs is missing.
set -euo pipefail

if command -v protoc >/dev/null && command -v grpc_python_plugin >/dev/null; then
  # The first in PATH may be another than Debian's, without Debian's packages.
  for python in $(type -ap python3); do
    if "$python" -c 'import google.protobuf, grpc' 2>/dev/null; then
      echo "$python"
      exit
    fi
  done
fi
echo "gRPC for Python is missing; on Debian: apt-get install protobuf-compiler protobuf-compiler-grpc python3-grpcio" >&2
exit 1
