// SPDX-License-Identifier: Apache-2.0
// Graphs as the program builds them, and their executable form.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "context.h"
#include "work.h"

namespace gpusim {

struct GraphNode {
  Graph* graph = nullptr;
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  Work work;
  std::vector<GraphNode*> dependencies;
  std::vector<GraphNode*> dependents;
  uint64_t serial = 0;                  ///< position in the order of creation; same in clones
  const GraphNode* original = nullptr;  ///< of a clone's node: the node it was copied from
  /// Kernel arguments as cuGraphKernelNodeGetParams hands them out: pointers into the work's parameter buffer.
  std::vector<void*> parameterPointers;
};

/// A CUgraph. Its nodes' handles are valid as long as it lives. Not safe for use from several threads, as in CUDA.
class Graph : public std::enable_shared_from_this<Graph> {
 public:
  ~Graph();

  /// The nodes of `dependencies` must be of this graph.
  GraphNode* add(CUgraphNodeType type, Work work, const std::vector<GraphNode*>& dependencies);
  void addEdge(GraphNode* from, GraphNode* to);
  /// False when there was no such edge.
  bool removeEdge(GraphNode* from, GraphNode* to);
  void remove(GraphNode* node);
  bool owns(const GraphNode* node) const;
  std::shared_ptr<Graph> clone() const;
  /// Whether an edge from -> to would close a cycle.
  bool reaches(const GraphNode* from, const GraphNode* to) const;

  const std::vector<std::shared_ptr<GraphNode>>& nodes() const { return nodes_; }

 private:
  std::vector<std::shared_ptr<GraphNode>> nodes_;
  uint64_t nextSerial_ = 0;
};

/// An immutable snapshot of a graph, ready to run.
class ExecutableGraph {
 public:
  struct Node {
    CUgraphNodeType type;
    Work work;
    std::vector<size_t> dependencies;  ///< indices
    uint64_t serial;
    const GraphNode* origin;  ///< a name only: the node may be gone
    bool enabled = true;
  };

  /// Fails with INVALID_VALUE when the graph has a cycle.
  static CUresult build(const Graph& graph, std::shared_ptr<ExecutableGraph>& executable);

  /// Performs the nodes one after another in an order that respects the edges and is otherwise drawn from the seed and
  /// `salt`, so that a missing edge shows on some seed. While a kernel waits for something, other nodes start beside
  /// it; when none is ready, `stalled` is called.
  CUresult run(Context& context, uint64_t salt, const std::function<void()>& stalled) const;

  /// The graph as one launch uses it: event record nodes are recorded as pending now.
  static std::shared_ptr<const ExecutableGraph> forLaunch(const std::shared_ptr<const ExecutableGraph>& graph);

  std::vector<Node> nodes;
};

/// A CUgraphExec: changes replace the snapshot, so that a launch that is under way keeps what it was launched with.
class GraphExec {
 public:
  GraphExec(std::shared_ptr<Context> context, std::shared_ptr<const ExecutableGraph> graph, unsigned long long flags)
      : context(std::move(context)), flags(flags), graph_(std::move(graph)) {}

  const std::shared_ptr<Context> context;
  const unsigned long long flags;

  std::shared_ptr<const ExecutableGraph> snapshot() const;
  void replace(std::shared_ptr<const ExecutableGraph> graph);
  /// Changes one node in a copy. `origin` is the node of the source graph. INVALID_VALUE when it has none of that type.
  CUresult update(const GraphNode* origin, CUgraphNodeType type, const std::function<CUresult(Work&)>& change);
  CUresult setEnabled(const GraphNode* origin, bool enabled);
  CUresult enabled(const GraphNode* origin, bool& enabled) const;
  /// Takes over the nodes' work of a graph with the same topology and types.
  CUresult updateFrom(const Graph& graph, CUgraphExecUpdateResultInfo& result);

  /// Launches of one executable graph never overlap: `launch(previous, salt)` enqueues and returns the completion.
  CUresult launchAfterPrevious(
      const std::function<CUresult(CompletionPtr previous, uint64_t salt, CompletionPtr& done)>& launch);

 private:
  std::shared_ptr<ExecutableGraph> copy() const;

  mutable std::mutex mutex_;
  std::shared_ptr<const ExecutableGraph> graph_;
  std::mutex launchMutex_;
  CompletionPtr lastLaunch_;
  uint64_t launches_ = 0;
};

}  // namespace gpusim
