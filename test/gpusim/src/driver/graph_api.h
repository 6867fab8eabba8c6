// SPDX-License-Identifier: Apache-2.0
// What the graph functions share.
#pragma once
#include "api.h"
#include "copy.h"
#include "event.h"
#include "graph.h"
#include "kernel_launch.h"

namespace gpusim {

/// Reads a program's list of nodes; INVALID_VALUE when one is not a node of `graph`.
CUresult readNodes(const Graph& graph, const CUgraphNode* nodes, size_t count, std::vector<GraphNode*>& found);

/// Adds a node: `make(Work&)` builds its work.
template <class Make>
CUresult addNode(CUgraphNode* out, CUgraph graphHandle, const CUgraphNode* dependencies, size_t count,
                 CUgraphNodeType type, Make&& make) {
  return initialised([&]() -> CUresult {
    const auto graph = fromHandle<Graph>(graphHandle);
    if (!graph || !out || (count > 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> before;
    if (const CUresult status = readNodes(*graph, dependencies, count, before); status != CUDA_SUCCESS) return status;
    Work work;
    if (const CUresult status = make(work); status != CUDA_SUCCESS) return status;
    *out = asHandle<CUgraphNode>(graph->add(type, std::move(work), before));
    return CUDA_SUCCESS;
  });
}

/// `body(GraphNode&, SomeWork&)` for a node that holds that kind of work.
template <class SomeWork, class Body>
CUresult onNode(CUgraphNode handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto node = fromHandle<GraphNode>(handle);
    if (!node) return CUDA_ERROR_INVALID_VALUE;
    auto* work = std::get_if<SomeWork>(&node->work);
    return work ? body(*node, *work) : CUDA_ERROR_INVALID_VALUE;
  });
}

/// Changes the work of a node of an executable graph: `make(Work&)` as in addNode.
template <class Make>
CUresult changeExecNode(CUgraphExec execHandle, CUgraphNode node, CUgraphNodeType type, Make&& make) {
  return initialised([&]() -> CUresult {
    const auto exec = fromHandle<GraphExec>(execHandle);
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    return exec->update(reinterpret_cast<const GraphNode*>(node), type, make);
  });
}

// From parameters to work; the errors are those of the corresponding stream functions.
CUresult kernelWork(const CUDA_KERNEL_NODE_PARAMS* params, Work& work);
CUresult copyNodeWork(const CUDA_MEMCPY3D* params, Work& work);
CUresult fillNodeWork(const CUDA_MEMSET_NODE_PARAMS* params, Work& work);
CUresult hostNodeWork(const CUDA_HOST_NODE_PARAMS* params, Work& work);
CUresult recordNodeWork(CUevent event, Work& work);
CUresult waitNodeWork(CUevent event, Work& work);
CUresult childNodeWork(CUgraph graph, Work& work);

/// The same for the generic CUgraphNodeParams; NOT_SUPPORTED for node types that the simulator does not have.
CUresult genericNodeWork(const CUgraphNodeParams* params, Work& work);

}  // namespace gpusim
