// SPDX-License-Identifier: Apache-2.0
// Opaque handles: a handle is the address of its object, and is valid as long as the object is in its table.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace gpusim {

template <class T>
class HandleTable {
 public:
  T* add(std::shared_ptr<T> object) {
    T* key = object.get();
    std::lock_guard lock(mutex_);
    objects_[key] = std::move(object);
    return key;
  }
  std::shared_ptr<T> find(const void* handle) const {
    std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  /// Takes the object out; null when the handle was not valid.
  std::shared_ptr<T> remove(const void* handle) {
    std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  /// Takes out every object that the predicate accepts.
  std::vector<std::shared_ptr<T>> removeIf(const std::function<bool(const T&)>& predicate) {
    std::vector<std::shared_ptr<T>> removed;
    std::lock_guard lock(mutex_);
    for (auto it = objects_.begin(); it != objects_.end();) {
      if (predicate(*it->second)) {
        removed.push_back(std::move(it->second));
        it = objects_.erase(it);
      } else {
        ++it;
      }
    }
    return removed;
  }

  std::vector<std::shared_ptr<T>> all() const {
    std::vector<std::shared_ptr<T>> found;
    std::lock_guard lock(mutex_);
    for (const auto& [key, object] : objects_) found.push_back(object);
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<const void*, std::shared_ptr<T>> objects_;
};

/// The table of one type. Never destroyed, because host threads may still call in while the process ends.
template <class T>
HandleTable<T>& handles() {
  static auto* table = new HandleTable<T>;
  return *table;
}

template <class T>
std::shared_ptr<T> fromHandle(const void* handle) {
  return handles<T>().find(handle);
}

}  // namespace gpusim
