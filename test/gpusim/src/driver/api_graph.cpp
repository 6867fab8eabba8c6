// SPDX-License-Identifier: Apache-2.0
// Graphs: building and looking at them.
#include <algorithm>
#include <cstdio>

#include "graph_api.h"

using namespace gpusim;

namespace {

template <class Body>
CUresult withGraph(CUgraph handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto graph = fromHandle<Graph>(handle);
    return graph ? body(graph) : CUDA_ERROR_INVALID_VALUE;
  });
}

template <class Body>
CUresult withNode(CUgraphNode handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto node = fromHandle<GraphNode>(handle);
    return node ? body(*node) : CUDA_ERROR_INVALID_VALUE;
  });
}

// The protocol of all list queries: with a null list only the count is given; else at most *count entries are written,
// the rest is nulled, and *count becomes the number of real ones.
template <class Source>
CUresult giveNodes(const Source& source, CUgraphNode* out, size_t* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (out) {
    for (size_t i = 0; i < *count; ++i) out[i] = i < source.size() ? asHandle<CUgraphNode>(&*source[i]) : nullptr;
    *count = std::min(*count, source.size());
  } else {
    *count = source.size();
  }
  return CUDA_SUCCESS;
}

void clearEdgeData(CUgraphEdgeData* data, size_t count) {
  if (data) std::fill(data, data + count, CUgraphEdgeData{});
}

// Only plain edges exist for sm_80 to sm_89 kernels.
bool plainEdges(const CUgraphEdgeData* data, size_t count) {
  return !data || std::all_of(data, data + count, [](const CUgraphEdgeData& edge) {
    return edge.from_port == 0 && edge.to_port == 0 && edge.type == 0;
  });
}

CUresult editEdges(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, size_t count, bool add) {
  return withGraph(handle, [&](const auto& graph) -> CUresult {
    std::vector<GraphNode*> sources, targets;
    if (count > 0 && (!from || !to)) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult status = readNodes(*graph, from, count, sources); status != CUDA_SUCCESS) return status;
    if (const CUresult status = readNodes(*graph, to, count, targets); status != CUDA_SUCCESS) return status;
    for (size_t i = 0; i < count; ++i) {
      if (add && (sources[i] == targets[i] || graph->reaches(targets[i], sources[i]))) return CUDA_ERROR_INVALID_VALUE;
      if (add) {
        graph->addEdge(sources[i], targets[i]);
      } else if (!graph->removeEdge(sources[i], targets[i])) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    return CUDA_SUCCESS;
  });
}

const char* typeName(CUgraphNodeType type) {
  static constexpr const char* kNames[] = {"kernel", "memcpy",     "memset",       "host", "graph",
                                           "empty",  "wait event", "record event", "",     "",
                                           "",       "",           "memory op",    ""};
  return kNames[type];
}

}  // namespace

CUresult cuGraphCreate(CUgraph* phGraph, unsigned int flags) {
  return initialised([&] {
    if (!phGraph || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = asHandle<CUgraph>(handles<Graph>().add(std::make_shared<Graph>()));
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDestroy(CUgraph hGraph) {
  return initialised([&] { return handles<Graph>().remove(hGraph) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuGraphClone(CUgraph* phGraphClone, CUgraph originalGraph) {
  return withGraph(originalGraph, [&](const auto& graph) {
    if (!phGraphClone) return CUDA_ERROR_INVALID_VALUE;
    *phGraphClone = asHandle<CUgraph>(handles<Graph>().add(graph->clone()));
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeFindInClone(CUgraphNode* phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph) {
  return withGraph(hClonedGraph, [&](const auto& graph) {
    if (!phNode) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& node : graph->nodes()) {
      if (static_cast<const void*>(node->original) != hOriginalNode) continue;
      *phNode = asHandle<CUgraphNode>(node.get());
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphNodeGetType(CUgraphNode hNode, CUgraphNodeType* type) {
  return withNode(hNode, [&](const GraphNode& node) {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    *type = node.type;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(CUgraph hGraph, CUgraphNode* nodes, size_t* numNodes) {
  return withGraph(hGraph, [&](const auto& graph) { return giveNodes(graph->nodes(), nodes, numNodes); });
}

CUresult cuGraphGetRootNodes(CUgraph hGraph, CUgraphNode* rootNodes, size_t* numRootNodes) {
  return withGraph(hGraph, [&](const auto& graph) {
    std::vector<std::shared_ptr<GraphNode>> roots;
    for (const auto& node : graph->nodes())
      if (node->dependencies.empty()) roots.push_back(node);
    return giveNodes(roots, rootNodes, numRootNodes);
  });
}

CUresult cuGraphGetEdges_v2(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edgeData,
                            size_t* numEdges) {
  return withGraph(hGraph, [&](const auto& graph) -> CUresult {
    std::vector<GraphNode*> sources, targets;
    for (const auto& node : graph->nodes()) {
      for (GraphNode* dependency : node->dependencies) {
        sources.push_back(dependency);
        targets.push_back(node.get());
      }
    }
    if (!numEdges || (from == nullptr) != (to == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    size_t room = *numEdges;
    if (from) clearEdgeData(edgeData, room);
    giveNodes(sources, from, &room);
    return giveNodes(targets, to, numEdges);
  });
}

CUresult cuGraphGetEdges(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, size_t* numEdges) {
  return cuGraphGetEdges_v2(hGraph, from, to, nullptr, numEdges);
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode hNode, CUgraphNode* dependencies, CUgraphEdgeData* edgeData,
                                       size_t* numDependencies) {
  return withNode(hNode, [&](const GraphNode& node) {
    if (dependencies && numDependencies) clearEdgeData(edgeData, *numDependencies);
    return giveNodes(node.dependencies, dependencies, numDependencies);
  });
}

CUresult cuGraphNodeGetDependencies(CUgraphNode hNode, CUgraphNode* dependencies, size_t* numDependencies) {
  return cuGraphNodeGetDependencies_v2(hNode, dependencies, nullptr, numDependencies);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode hNode, CUgraphNode* dependentNodes, CUgraphEdgeData* edgeData,
                                         size_t* numDependentNodes) {
  return withNode(hNode, [&](const GraphNode& node) {
    if (dependentNodes && numDependentNodes) clearEdgeData(edgeData, *numDependentNodes);
    return giveNodes(node.dependents, dependentNodes, numDependentNodes);
  });
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode hNode, CUgraphNode* dependentNodes, size_t* numDependentNodes) {
  return cuGraphNodeGetDependentNodes_v2(hNode, dependentNodes, nullptr, numDependentNodes);
}

CUresult cuGraphAddDependencies_v2(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* edgeData, size_t numDependencies) {
  if (!plainEdges(edgeData, numDependencies)) return CUDA_ERROR_NOT_SUPPORTED;
  return editEdges(hGraph, from, to, numDependencies, true);
}

CUresult cuGraphAddDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t numDependencies) {
  return editEdges(hGraph, from, to, numDependencies, true);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData* edgeData, size_t numDependencies) {
  if (!plainEdges(edgeData, numDependencies)) return CUDA_ERROR_INVALID_VALUE;
  return editEdges(hGraph, from, to, numDependencies, false);
}

CUresult cuGraphRemoveDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t numDependencies) {
  return editEdges(hGraph, from, to, numDependencies, false);
}

CUresult cuGraphDestroyNode(CUgraphNode hNode) {
  return withNode(hNode, [](GraphNode& node) {
    node.graph->remove(&node);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDebugDotPrint(CUgraph hGraph, const char* path, unsigned int) {
  return withGraph(hGraph, [&](const auto& graph) {
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    FILE* file = std::fopen(path, "w");
    if (!file) return CUDA_ERROR_OPERATING_SYSTEM;
    std::fprintf(file, "digraph graph {\n");
    for (const auto& node : graph->nodes()) {
      const auto* kernel = std::get_if<KernelWork>(&node->work);
      std::fprintf(file, "  n%llu [label=\"%s\"];\n", static_cast<unsigned long long>(node->serial),
                   kernel ? kernel->function->kernel->name.c_str() : typeName(node->type));
      for (const GraphNode* dependency : node->dependencies)
        std::fprintf(file, "  n%llu -> n%llu;\n", static_cast<unsigned long long>(dependency->serial),
                     static_cast<unsigned long long>(node->serial));
    }
    std::fprintf(file, "}\n");
    std::fclose(file);
    return CUDA_SUCCESS;
  });
}
