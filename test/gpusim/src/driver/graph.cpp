// SPDX-License-Identifier: Apache-2.0
#include "graph.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "event.h"
#include "handles.h"
#include "module.h"

namespace gpusim {
namespace {

void eraseFrom(std::vector<GraphNode*>& list, const GraphNode* node) {
  list.erase(std::remove(list.begin(), list.end(), node), list.end());
}

// Indices of the nodes by their order of creation, which is how an update pairs the nodes of two graphs.
std::vector<size_t> creationOrder(const ExecutableGraph& graph) {
  std::vector<size_t> order(graph.nodes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return graph.nodes[a].serial < graph.nodes[b].serial; });
  return order;
}

std::vector<size_t> inverse(const std::vector<size_t>& order) {
  std::vector<size_t> rank(order.size());
  for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  return rank;
}

std::set<size_t> ranks(const std::vector<size_t>& indices, const std::vector<size_t>& rank) {
  std::set<size_t> found;
  for (const size_t index : indices) found.insert(rank[index]);
  return found;
}

template <class Nodes>
auto indexOf(Nodes& nodes, const GraphNode* origin) {
  return std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.origin == origin; });
}

}  // namespace

Graph::~Graph() {
  for (const auto& node : nodes_) handles<GraphNode>().remove(node.get());
}

GraphNode* Graph::add(CUgraphNodeType type, Work work, const std::vector<GraphNode*>& dependencies) {
  auto node = std::make_shared<GraphNode>();
  node->graph = this;
  node->type = type;
  node->work = std::move(work);
  node->serial = nextSerial_++;
  nodes_.push_back(node);
  handles<GraphNode>().add(node);
  for (GraphNode* dependency : dependencies) addEdge(dependency, node.get());
  return node.get();
}

void Graph::addEdge(GraphNode* from, GraphNode* to) {
  if (std::find(to->dependencies.begin(), to->dependencies.end(), from) != to->dependencies.end()) return;
  to->dependencies.push_back(from);
  from->dependents.push_back(to);
}

bool Graph::removeEdge(GraphNode* from, GraphNode* to) {
  if (std::find(to->dependencies.begin(), to->dependencies.end(), from) == to->dependencies.end()) return false;
  eraseFrom(to->dependencies, from);
  eraseFrom(from->dependents, to);
  return true;
}

void Graph::remove(GraphNode* node) {
  for (GraphNode* dependency : node->dependencies) eraseFrom(dependency->dependents, node);
  for (GraphNode* dependent : node->dependents) eraseFrom(dependent->dependencies, node);
  handles<GraphNode>().remove(node);
  std::erase_if(nodes_, [&](const auto& other) { return other.get() == node; });
}

bool Graph::owns(const GraphNode* node) const { return node && node->graph == this; }

std::shared_ptr<Graph> Graph::clone() const {
  auto copy = std::make_shared<Graph>();
  std::unordered_map<const GraphNode*, GraphNode*> twin;
  for (const auto& node : nodes_) {
    Work work = node->work;
    if (auto* child = std::get_if<GraphWork>(&work); child && child->source) child->source = child->source->clone();
    GraphNode* added = copy->add(node->type, std::move(work), {});
    added->serial = node->serial;
    added->original = node.get();
    twin[node.get()] = added;
  }
  copy->nextSerial_ = nextSerial_;
  for (const auto& node : nodes_)
    for (const GraphNode* dependency : node->dependencies) copy->addEdge(twin[dependency], twin[node.get()]);
  return copy;
}

bool Graph::reaches(const GraphNode* from, const GraphNode* to) const {
  std::unordered_set<const GraphNode*> seen;
  std::vector<const GraphNode*> pending = {from};
  while (!pending.empty()) {
    const GraphNode* node = pending.back();
    pending.pop_back();
    if (node == to) return true;
    if (!seen.insert(node).second) continue;
    pending.insert(pending.end(), node->dependents.begin(), node->dependents.end());
  }
  return false;
}

CUresult ExecutableGraph::build(const Graph& graph, std::shared_ptr<ExecutableGraph>& executable) {
  auto built = std::make_shared<ExecutableGraph>();
  std::unordered_map<const GraphNode*, size_t> place;
  std::vector<const GraphNode*> ready;
  std::unordered_map<const GraphNode*, size_t> open;
  for (const auto& node : graph.nodes()) {
    open[node.get()] = node->dependencies.size();
    if (node->dependencies.empty()) ready.push_back(node.get());
  }
  for (size_t i = 0; i < ready.size(); ++i) {
    const GraphNode* node = ready[i];
    Node entry{node->type, node->work, {}, node->serial, node};
    if (auto* child = std::get_if<GraphWork>(&entry.work); child && child->source) {
      std::shared_ptr<ExecutableGraph> inner;
      if (const CUresult status = build(*child->source, inner); status != CUDA_SUCCESS) return status;
      child->graph = std::move(inner);
    }
    for (const GraphNode* dependency : node->dependencies) entry.dependencies.push_back(place.at(dependency));
    place[node] = built->nodes.size();
    built->nodes.push_back(std::move(entry));
    for (const GraphNode* dependent : node->dependents)
      if (--open[dependent] == 0) ready.push_back(dependent);
  }
  if (built->nodes.size() != graph.nodes().size()) return CUDA_ERROR_INVALID_VALUE;
  executable = std::move(built);
  return CUDA_SUCCESS;
}

std::shared_ptr<const ExecutableGraph> ExecutableGraph::forLaunch(const std::shared_ptr<const ExecutableGraph>& graph) {
  std::shared_ptr<ExecutableGraph> own;
  const auto change = [&](size_t index) -> Work& {
    if (!own) {
      own = std::make_shared<ExecutableGraph>();
      own->nodes = graph->nodes;
    }
    return own->nodes[index].work;
  };
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    const Work& work = graph->nodes[i].work;
    if (const auto* record = std::get_if<EventRecordWork>(&work)) {
      auto pending = std::make_shared<PendingRecord>();
      record->event->record(pending->completion);
      std::get<EventRecordWork>(change(i)).pending = std::move(pending);
    } else if (const auto* child = std::get_if<GraphWork>(&work)) {
      auto inner = forLaunch(child->graph);
      if (inner != child->graph) std::get<GraphWork>(change(i)).graph = std::move(inner);
    }
  }
  return own ? own : graph;
}

std::shared_ptr<const ExecutableGraph> GraphExec::snapshot() const {
  std::lock_guard lock(mutex_);
  return graph_;
}

void GraphExec::replace(std::shared_ptr<const ExecutableGraph> graph) {
  std::lock_guard lock(mutex_);
  graph_ = std::move(graph);
}

std::shared_ptr<ExecutableGraph> GraphExec::copy() const {
  auto changed = std::make_shared<ExecutableGraph>();
  changed->nodes = snapshot()->nodes;
  return changed;
}

CUresult GraphExec::update(const GraphNode* origin, CUgraphNodeType type,
                           const std::function<CUresult(Work&)>& change) {
  auto changed = copy();
  const auto node = indexOf(changed->nodes, origin);
  if (node == changed->nodes.end() || node->type != type) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult status = change(node->work); status != CUDA_SUCCESS) return status;
  replace(std::move(changed));
  return CUDA_SUCCESS;
}

CUresult GraphExec::setEnabled(const GraphNode* origin, bool enabled) {
  auto changed = copy();
  const auto node = indexOf(changed->nodes, origin);
  const bool switchable = node != changed->nodes.end() &&
                          (node->type == CU_GRAPH_NODE_TYPE_KERNEL || node->type == CU_GRAPH_NODE_TYPE_MEMCPY ||
                           node->type == CU_GRAPH_NODE_TYPE_MEMSET);
  if (!switchable) return CUDA_ERROR_INVALID_VALUE;
  node->enabled = enabled;
  replace(std::move(changed));
  return CUDA_SUCCESS;
}

CUresult GraphExec::enabled(const GraphNode* origin, bool& enabled) const {
  const auto graph = snapshot();
  const auto node = indexOf(graph->nodes, origin);
  if (node == graph->nodes.end()) return CUDA_ERROR_INVALID_VALUE;
  enabled = node->enabled;
  return CUDA_SUCCESS;
}

CUresult GraphExec::updateFrom(const Graph& graph, CUgraphExecUpdateResultInfo& result) {
  result = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
  const auto refuse = [&](CUgraphExecUpdateResult why, const GraphNode* node) {
    result.result = why;
    result.errorNode = reinterpret_cast<CUgraphNode>(const_cast<GraphNode*>(node));
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  };
  std::shared_ptr<ExecutableGraph> fresh;
  if (ExecutableGraph::build(graph, fresh) != CUDA_SUCCESS) return refuse(CU_GRAPH_EXEC_UPDATE_ERROR, nullptr);
  auto changed = copy();
  if (fresh->nodes.size() != changed->nodes.size()) return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, nullptr);
  const std::vector<size_t> oldOrder = creationOrder(*changed), newOrder = creationOrder(*fresh);
  const std::vector<size_t> oldRank = inverse(oldOrder), newRank = inverse(newOrder);
  for (size_t rank = 0; rank < oldOrder.size(); ++rank) {
    ExecutableGraph::Node& old = changed->nodes[oldOrder[rank]];
    ExecutableGraph::Node& now = fresh->nodes[newOrder[rank]];
    if (ranks(old.dependencies, oldRank) != ranks(now.dependencies, newRank))
      return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, now.origin);
    if (old.type != now.type) return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, now.origin);
    old.work = std::move(now.work);
  }
  replace(std::move(changed));
  result.result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
  return CUDA_SUCCESS;
}

CUresult GraphExec::launchAfterPrevious(
    const std::function<CUresult(CompletionPtr previous, uint64_t salt, CompletionPtr& done)>& launch) {
  std::lock_guard lock(launchMutex_);
  CompletionPtr done;
  const CUresult status = launch(lastLaunch_, launches_++, done);
  if (done) lastLaunch_ = std::move(done);
  return status;
}

}  // namespace gpusim
