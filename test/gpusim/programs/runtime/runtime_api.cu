// SPDX-License-Identifier: Apache-2.0
// A program on the CUDA runtime API, as nvcc builds it with `-cudart shared`: launches with <<<...>>>, symbols,
// copies, streams, events, capture, occupancy, errors.
#include <cooperative_groups.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

static int failures = 0;

static void is(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::fprintf(stderr, "wrong: %s\n", what);
}
static void ok(cudaError_t error, const char* call) {
  if (error != cudaSuccess) std::fprintf(stderr, "%s: %s\n", cudaGetErrorName(error), cudaGetErrorString(error));
  is(error == cudaSuccess, call);
}
#define OK(call) ok((call), #call)

__device__ int total;
__managed__ int managedCount = 5;
__managed__ double managedTable[3];
__constant__ float factors[4];

template <class T>
__global__ void scale(T* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = T(x[i] * factors[i % 4]);
}
__global__ void count(int n) { atomicAdd(&total, n); }
__global__ void useManaged() {
  managedTable[threadIdx.x] = managedCount * 0.5 + threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&managedCount, 37);
}
__global__ void rotate(int* x) {
  auto grid = cooperative_groups::this_grid();
  const unsigned i = grid.thread_rank(), n = unsigned(grid.size());
  const int mine = x[i];
  grid.sync();
  x[(i + 1) % n] = mine;
}
__global__ void fillShared(int* out) {
  extern __shared__ int tile[];
  tile[threadIdx.x] = int(threadIdx.x) * 3;
  __syncthreads();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

static void symbolsAndLaunches() {
  const float host[4] = {1, 2, 3, 4};
  OK(cudaMemcpyToSymbol(factors, host, sizeof host));
  std::vector<float> x(1000, 1.5f);
  std::vector<int> y(1000, 7);
  float* dx;
  int* dy;
  OK(cudaMalloc(&dx, x.size() * 4));
  OK(cudaMalloc(&dy, y.size() * 4));
  OK(cudaMemcpy(dx, x.data(), x.size() * 4, cudaMemcpyHostToDevice));
  OK(cudaMemcpy(dy, y.data(), y.size() * 4, cudaMemcpyDefault));
  scale<<<4, 256>>>(dx, 1000);
  scale<<<dim3(8), dim3(128)>>>(dy, 1000);
  OK(cudaGetLastError());
  OK(cudaMemcpy(x.data(), dx, x.size() * 4, cudaMemcpyDeviceToHost));
  OK(cudaMemcpy(y.data(), dy, y.size() * 4, cudaMemcpyDeviceToHost));
  bool right = true;
  for (int i = 0; i < 1000; ++i) right &= x[i] == 1.5f * float(i % 4 + 1) && y[i] == 7 * (i % 4 + 1);
  is(right, "templated kernels with constants");

  int zero = 0, sum = 0;
  OK(cudaMemcpyToSymbol(total, &zero, 4));
  for (int i = 1; i <= 10; ++i) count<<<1, 32>>>(i);
  OK(cudaMemcpyFromSymbol(&sum, total, 4));
  is(sum == 55 * 32, "__device__ variable");
  is(managedCount == 5, "a __managed__ variable's initial value, read by the host");
  managedCount = 8;
  useManaged<<<1, 3>>>();
  OK(cudaDeviceSynchronize());
  is(managedCount == 45 && managedTable[0] == 4 && managedTable[2] == 6,
     "__managed__ variables, written on both sides");
  cudaPointerAttributes attributes;
  OK(cudaPointerGetAttributes(&attributes, &managedCount));
  is(attributes.type == cudaMemoryTypeManaged, "the memory of a __managed__ variable");
  void* address;
  size_t bytes;
  OK(cudaGetSymbolAddress(&address, factors));
  OK(cudaGetSymbolSize(&bytes, factors));
  is(address && bytes == 16, "symbol");

  const int large = 100 * 1024;
  is(cudaFuncSetAttribute(fillShared, cudaFuncAttributeMaxDynamicSharedMemorySize, large) == cudaSuccess, "opt in");
  fillShared<<<1, 64, large>>>(dy);
  OK(cudaMemcpy(y.data(), dy, 256, cudaMemcpyDeviceToHost));
  is(y[0] == 189 && y[63] == 0, "dynamic shared memory");

  void* arguments[] = {&dy};
  OK(cudaLaunchCooperativeKernel(rotate, dim3(2), dim3(32), arguments, 0, nullptr));
  OK(cudaMemcpy(y.data(), dy, 256, cudaMemcpyDeviceToHost));
  is(y[0] == 0 && y[1] == 189 && y[63] == 3, "cooperative launch");
  OK(cudaFree(dx));
  OK(cudaFree(dy));
}

static void CUDART_CB increment(void* value) { ++*static_cast<int*>(value); }

/// Nodes of every kind, made one by one; then another fill and another copy in the instance.
static void explicitGraph() {
  const int n = 64;
  int* device;
  int input[n], output[n] = {}, calls = 0;
  for (int i = 0; i < n; ++i) input[i] = i;
  OK(cudaMalloc(&device, 2 * n * sizeof(int)));
  cudaGraph_t graph;
  cudaGraphNode_t fill, copy, constant, kernel, back, host;
  OK(cudaGraphCreate(&graph, 0));
  cudaMemsetParams zeros = {};
  zeros.dst = device + n, zeros.elementSize = 4, zeros.width = n, zeros.height = 1, zeros.value = 7;
  OK(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &zeros));
  cudaMemcpy3DParms in = {};
  in.srcPtr = make_cudaPitchedPtr(input, sizeof input, n, 1);
  in.dstPtr = make_cudaPitchedPtr(device, sizeof input, n, 1);
  in.extent = make_cudaExtent(sizeof input, 1, 1), in.kind = cudaMemcpyHostToDevice;
  OK(cudaGraphAddMemcpyNode(&copy, graph, &fill, 1, &in));
  float threes[4] = {3, 3, 3, 3};
  OK(cudaGraphAddMemcpyNodeToSymbol(&constant, graph, nullptr, 0, factors, threes, sizeof threes, 0,
                                    cudaMemcpyHostToDevice));
  int count = 2 * n;
  void* arguments[] = {&device, &count};
  cudaKernelNodeParams launch = {};
  launch.func = reinterpret_cast<void*>(&scale<int>), launch.gridDim = dim3(2), launch.blockDim = dim3(n);
  launch.kernelParams = arguments;
  const cudaGraphNode_t before[] = {copy, constant};
  OK(cudaGraphAddKernelNode(&kernel, graph, before, 2, &launch));
  OK(cudaGraphAddMemcpyNode1D(&back, graph, &kernel, 1, output, device, sizeof output, cudaMemcpyDeviceToHost));
  cudaHostNodeParams call = {increment, &calls};
  OK(cudaGraphAddHostNode(&host, graph, &back, 1, &call));
  size_t edges = 0, after = 0;
  OK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  OK(cudaGraphNodeGetDependentNodes(kernel, nullptr, nullptr, &after));
  is(edges == 5 && after == 1, "edges of a graph");
  cudaGraphExec_t exec;
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaGraphLaunch(exec, nullptr));
  OK(cudaStreamSynchronize(nullptr));
  is(output[5] == 15 && output[n - 1] == 3 * (n - 1) && calls == 1, "a graph of nodes of every kind");
  zeros.value = 11;
  OK(cudaGraphExecMemsetNodeSetParams(exec, fill, &zeros));
  OK(cudaGraphExecMemcpyNodeSetParams1D(exec, back, output, device + n, sizeof output, cudaMemcpyDeviceToHost));
  OK(cudaGraphLaunch(exec, nullptr));
  OK(cudaStreamSynchronize(nullptr));
  is(output[0] == 33 && output[n - 1] == 33 && calls == 2, "other parameters in an instance");
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  OK(cudaFree(device));
}

static void streamsAndGraphs() {
  cudaStream_t stream, other;
  OK(cudaStreamCreate(&stream));
  OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaEvent_t begin, end;
  OK(cudaEventCreate(&begin));
  OK(cudaEventCreate(&end));
  int zero = 0, sum = 0;
  OK(cudaMemcpyToSymbol(total, &zero, 4));
  OK(cudaEventRecord(begin, stream));
  count<<<1, 1, 0, stream>>>(3);
  OK(cudaEventRecord(end, stream));
  OK(cudaStreamWaitEvent(other, end, 0));
  count<<<1, 1, 0, other>>>(4);
  int calls = 0;
  OK(cudaLaunchHostFunc(
      other, [](void* data) { ++*static_cast<int*>(data); }, &calls));
  OK(cudaStreamSynchronize(other));
  float milliseconds = -1;
  OK(cudaEventElapsedTime(&milliseconds, begin, end));
  OK(cudaMemcpyFromSymbol(&sum, total, 4));
  is(sum == 7 && calls == 1 && milliseconds >= 0, "streams and events");

  cudaGraph_t graph;
  cudaGraphExec_t exec;
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  count<<<1, 1, 0, stream>>>(10);
  count<<<1, 1, 0, stream>>>(20);
  OK(cudaStreamEndCapture(stream, &graph));
  size_t nodes = 0;
  OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  is(nodes == 2, "captured nodes");
  OK(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; ++i) OK(cudaGraphLaunch(exec, stream));
  OK(cudaStreamSynchronize(stream));
  OK(cudaMemcpyFromSymbol(&sum, total, 4));
  is(sum == 97, "graph launches");
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  OK(cudaEventDestroy(begin));
  OK(cudaEventDestroy(end));

  int *pooled, back[4];
  OK(cudaMallocAsync(&pooled, 16, stream));
  OK(cudaMemsetAsync(pooled, 1, 16, stream));
  OK(cudaMemcpyAsync(back, pooled, 16, cudaMemcpyDeviceToHost, stream));
  OK(cudaFreeAsync(pooled, stream));
  OK(cudaStreamSynchronize(stream));
  is(back[3] == 0x01010101, "stream-ordered memory");
  OK(cudaStreamDestroy(stream));
  OK(cudaStreamDestroy(other));
}

static void memoryAndErrors() {
  char *device, host[3 * 8];
  size_t pitch;
  OK(cudaMallocPitch(&device, &pitch, 8, 3));
  OK(cudaMemset2D(device, pitch, 9, 8, 3));
  OK(cudaMemcpy2D(host, 8, device, pitch, 8, 3, cudaMemcpyDeviceToHost));
  is(host[0] == 9 && host[23] == 9, "pitched memory");
  cudaPointerAttributes attributes;
  OK(cudaPointerGetAttributes(&attributes, device));
  is(attributes.type == cudaMemoryTypeDevice && attributes.devicePointer == device, "device pointer");
  OK(cudaPointerGetAttributes(&attributes, host));
  is(attributes.type == cudaMemoryTypeUnregistered, "host pointer");
  OK(cudaFree(device));

  cudaDeviceProp properties;
  OK(cudaGetDeviceProperties(&properties, 0));
  int blocks = 0, minimum = 0, best = 0;
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, count, 256, 0));
  OK(cudaOccupancyMaxPotentialBlockSize(&minimum, &best, scale<float>));
  is(properties.major == 8 && properties.warpSize == 32 && properties.multiProcessorCount == 4, "properties");
  is(blocks == 8 && best == 1024, "occupancy");

  count<<<1, 2000>>>(1);
  is(cudaPeekAtLastError() == cudaErrorInvalidConfiguration, "too many threads");
  is(cudaGetLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaSuccess, "last error");
  is(cudaMemcpyToSymbol(factors, host, 24) == cudaErrorInvalidValue, "beyond a symbol");
  is(cudaMemcpyToSymbol(static_cast<const void*>(host), host, 4) == cudaErrorInvalidSymbol, "no symbol");
  is(cudaSetDevice(9) == cudaErrorInvalidDevice, "no such device");
  is(cudaFuncSetCacheConfig(static_cast<const void*>(host), cudaFuncCachePreferL1) == cudaErrorInvalidDeviceFunction,
     "no kernel");
  cudaArray_t array;
  const cudaChannelFormatDesc format{};
  is(cudaMallocArray(&array, &format, 4, 4) == cudaErrorNotSupported, "CUDA arrays");
  is(std::string(cudaGetErrorName(cudaErrorInvalidConfiguration)) == "cudaErrorInvalidConfiguration" &&
         std::string(cudaGetErrorString(cudaErrorInvalidValue)) == "invalid argument",
     "names of errors");
  (void)cudaGetLastError();
  scale<<<1, 32>>>(static_cast<int*>(nullptr), 32);
  is(cudaDeviceSynchronize() == cudaErrorIllegalAddress, "null pointer");
  is(cudaFree(nullptr) == cudaSuccess && cudaMalloc(&device, 4) == cudaErrorIllegalAddress, "the fault stays");
}

int main() {
  symbolsAndLaunches();
  streamsAndGraphs();
  explicitGraph();
  memoryAndErrors();
  if (!failures) std::puts("all right");
  return failures != 0;
}
