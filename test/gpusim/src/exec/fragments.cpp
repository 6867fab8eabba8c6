// SPDX-License-Identifier: Apache-2.0
#include "exec/fragments.h"

#include <algorithm>
#include <cstring>

namespace gpusim {
namespace {

constexpr uint64_t kPatience = 48;  // communicating accesses of siblings after which parked lanes go on alone

void dropReference(Warp& w, Rendezvous* r);
void removeFragment(Warp& w, size_t index);

Rendezvous* newRendezvous(Warp& w) {
  if (w.freeRendezvous.empty()) {
    w.rendezvous.push_back(std::make_unique<Rendezvous>());
    w.freeRendezvous.push_back(w.rendezvous.back().get());
  }
  Rendezvous* r = w.freeRendezvous.back();
  w.freeRendezvous.pop_back();
  *r = {};
  return r;
}

/// All who can still come have come: the parked fragments become one. The current fragment may be among them.
void completeIfAllArrived(Warp& w, Rendezvous* r) {
  if (!r->expected || r->arrived != r->expected) return;
  size_t first = w.fragments.size();
  for (size_t i = 0; i < w.fragments.size(); ++i) {
    Fragment& f = w.fragments[i];
    if (f.state != FragmentState::Parked || f.rendezvous != r) continue;
    if (first == w.fragments.size()) {
      first = i;
      continue;
    }
    w.fragments[first].mask |= f.mask;
    f.mask = 0;
  }
  if (first == w.fragments.size()) return;
  Fragment& merged = w.fragments[first];
  Rendezvous* parent = r->parent;
  // every fragment held one reference to r; the merged one now holds one to the parent instead
  if (parent) ++parent->references;
  for (Fragment& f : w.fragments)
    if (f.rendezvous == r && f.state == FragmentState::Parked) dropReference(w, r);
  merged.rendezvous = parent;
  merged.state = FragmentState::Ready;
  for (Fragment& f : w.fragments)
    if (!f.mask) f.rendezvous = nullptr, f.state = FragmentState::Parked;
}

void releaseFrame(Warp& w, Frame* frame, uint32_t lanes) {
  frame->lanes &= ~lanes;
  if (frame->lanes) return;
  auto it = std::find_if(w.frames.begin(), w.frames.end(), [&](auto& f) { return f.get() == frame; });
  w.freeFrames.push_back(std::move(*it));
  w.frames.erase(it);
}

/// Fragments that lost all lanes.
void sweep(Warp& w) {
  for (size_t i = w.fragments.size(); i-- > 0;)
    if (!w.fragments[i].mask) removeFragment(w, i);
}

/// Lets parked lanes go on without the rest.
void unpark(Warp& w, Fragment& f) {
  Rendezvous* r = f.rendezvous;
  r->expected &= ~f.mask;
  r->arrived &= ~f.mask;
  f.rendezvous = r->parent;
  if (f.rendezvous) ++f.rendezvous->references;
  f.state = FragmentState::Ready;
  completeIfAllArrived(w, r);
  dropReference(w, r);
}

void dropReference(Warp& w, Rendezvous* r) {
  while (r && --r->references == 0) {
    Rendezvous* parent = r->parent;
    w.freeRendezvous.push_back(r);
    r = parent;
  }
}

void removeFragment(Warp& w, size_t index) {
  w.fragments.erase(w.fragments.begin() + long(index));
  if (w.current > index) --w.current;
  for (Barrier& b : w.block->barriers)
    for (BarrierWaiter& waiter : b.waiters)
      if (waiter.warp == w.index && waiter.fragment > index) --waiter.fragment;
}

}  // namespace

void enterFragment(Context& c, size_t index) {
  Warp& w = *c.warp;
  w.current = index;
  const Fragment& f = w.fragments[index];
  c.pc = f.pc;
  c.active = f.mask;
  c.frame = f.frame;
  c.base[kFrameBase] = f.frame->registers;
  c.base[kConstantBase] = const_cast<uint8_t*>(f.frame->function->constants.data());
}

void leaveFragment(Context& c) {
  Fragment& f = c.warp->fragments[c.warp->current];
  f.pc = c.pc;
  f.mask = c.active;
  f.frame = c.frame;
}

void expectAt(Context& c, uint32_t joinPc) {
  Warp& w = *c.warp;
  Fragment& current = w.fragments[w.current];
  Rendezvous* r = current.rendezvous;
  // a loop's branch meets at the same place every time: one rendezvous is enough
  if (r && r->pc == joinPc && r->frame == c.frame) return;
  Rendezvous* fresh = newRendezvous(w);
  fresh->pc = joinPc;
  fresh->frame = c.frame;
  fresh->parent = r;  // takes over the fragment's reference to its old rendezvous
  fresh->expected = c.active;
  fresh->references = 1;
  current.rendezvous = fresh;
}

Fragment& splitLanes(Context& c, uint32_t lanes) {
  Warp& w = *c.warp;
  Fragment other = w.fragments[w.current];
  other.mask = lanes;
  other.frame = c.frame;
  other.state = FragmentState::Ready;
  if (other.rendezvous) ++other.rendezvous->references;
  c.active &= ~lanes;
  w.fragments[w.current].mask = c.active;
  w.fragments.push_back(other);
  return w.fragments.back();
}

void diverge(Context& c, uint32_t taken, uint32_t target, uint32_t joinPc) {
  ++c.worker->divergentBranches;
  if (joinPc != kNoPc) expectAt(c, joinPc);
  splitLanes(c, taken).pc = target;
  // either side may go first
  if (c.block->random.next() & 1) {
    leaveFragment(c);
    enterFragment(c, c.warp->fragments.size() - 1);
  }
}

bool arriveAtJoin(Context& c) {
  Warp& w = *c.warp;
  Fragment& f = w.fragments[w.current];
  Rendezvous* r = f.rendezvous;
  if (!r || r->pc != c.pc - 1 || r->frame != c.frame) return false;
  c.pc -= 1;  // the join is executed again after the merge: an outer rendezvous may be at the same place
  leaveFragment(c);
  f.state = FragmentState::Parked;
  f.parkedAt = w.syncOperations;
  r->arrived |= f.mask;
  completeIfAllArrived(w, r);
  sweep(w);
  c.event = Event::Blocked;
  return true;
}

void exitLanes(Context& c, uint32_t lanes) {
  Warp& w = *c.warp;
  Fragment& f = w.fragments[w.current];
  w.live &= ~lanes;
  c.block->liveThreads -= uint32_t(__builtin_popcount(lanes));
  c.active &= ~lanes;
  for (Rendezvous* r = f.rendezvous; r;) {
    Rendezvous* parent = r->parent;
    r->expected &= ~lanes;
    completeIfAllArrived(w, r);
    r = parent;
  }
  for (Frame* frame = c.frame; frame;) {
    Frame* parent = frame->parent;
    releaseFrame(w, frame, lanes);
    frame = parent;
  }
  if (!c.active) {
    Rendezvous* r = w.fragments[w.current].rendezvous;
    w.fragments[w.current].mask = 0;
    w.fragments[w.current].rendezvous = nullptr;
    if (r) dropReference(w, r);
    c.event = Event::Done;
  }
  w.fragments[w.current].mask = c.active;
  sweep(w);
}

bool unparkAll(Warp& w) {
  bool any = false;
  for (size_t i = 0; i < w.fragments.size(); ++i) {
    if (w.fragments[i].state != FragmentState::Parked || !w.fragments[i].mask) continue;
    unpark(w, w.fragments[i]);
    any = true;
  }
  sweep(w);
  return any;
}

bool selectFragment(Warp& w) {
  for (size_t i = 0; i < w.fragments.size(); ++i) {
    Fragment& f = w.fragments[i];
    if (f.state == FragmentState::Parked && w.syncOperations - f.parkedAt > kPatience) {
      unpark(w, f);
      sweep(w);
      break;
    }
  }
  for (size_t k = 1; k <= w.fragments.size(); ++k) {
    const size_t i = (w.current + k) % w.fragments.size();
    if (w.fragments[i].state == FragmentState::Ready) {
      w.current = i;
      return true;
    }
  }
  return false;
}

Frame* newFrame(Warp& w, const FunctionCode& f) {
  std::unique_ptr<Frame> frame;
  if (w.freeFrames.empty()) {
    frame = std::make_unique<Frame>();
  } else {
    frame = std::move(w.freeFrames.back());
    w.freeFrames.pop_back();
  }
  const size_t need = size_t(f.frameBytes) + 64;
  if (frame->capacity < need) {
    frame->storage.reset(new uint8_t[need]());
    frame->capacity = need;
  }
  const uintptr_t at = reinterpret_cast<uintptr_t>(frame->storage.get());
  frame->registers = frame->storage.get() + ((64 - at % 64) % 64);
  frame->params.assign(size_t(f.paramBytes) * kLanes, 0);
  frame->function = &f;
  frame->site = nullptr;
  frame->parent = nullptr;
  frame->carry = 0;
  w.frames.push_back(std::move(frame));
  return w.frames.back().get();
}

void leaveFrame(Warp& w, Fragment& f, uint32_t lanes) {
  Frame* frame = f.frame;
  while (f.rendezvous && f.rendezvous->frame == frame) {
    Rendezvous* r = f.rendezvous;
    r->expected &= ~lanes;
    f.rendezvous = r->parent;
    if (f.rendezvous) ++f.rendezvous->references;
    completeIfAllArrived(w, r);
    dropReference(w, r);
  }
  f.frame = frame->parent;
  releaseFrame(w, frame, lanes);
}

}  // namespace gpusim
