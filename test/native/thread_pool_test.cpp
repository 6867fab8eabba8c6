// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pool.h"

#include <atomic>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"

// Many short jobs, one right after the other: workers arrive late at nearly all of them.
TEST(every_task_runs_exactly_once) {
  for (int threads : {1, 2, 3, 8}) {
    pw::ThreadPool pool(threads);
    for (int64_t job = 0; job < 3000; ++job) {
      const int64_t tasks = job % 17;
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::atomic<bool> workersInRange{true};
      pool.run(tasks, [&](int64_t task, int worker) {
        if (worker < 0 || worker >= threads) workersInRange = false;
        runs[static_cast<size_t>(task)].fetch_add(1);
      });
      CHECK(workersInRange.load());
      for (const auto& count : runs) CHECK(count.load() == 1);
    }
  }
}

TEST(ranges_cover_everything_without_overlap) {
  pw::ThreadPool pool(3);
  for (int64_t count : {0, 1, 5, 100, 1001})
    for (int64_t grain : {1, 7, 5000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      pool.forRange(count, grain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) runs[static_cast<size_t>(i)].fetch_add(1);
      });
      for (const auto& n : runs) CHECK(n.load() == 1);
    }
}

TEST(results_of_other_threads_are_visible_after_run) {
  pw::ThreadPool pool(4);
  std::vector<int64_t> values(64);
  for (int64_t job = 1; job < 2000; ++job) {
    pool.run(64, [&](int64_t task, int) { values[static_cast<size_t>(task)] = job * task; });
    for (int64_t i = 0; i < 64; ++i) CHECK(values[static_cast<size_t>(i)] == job * i);
  }
}

TEST(what_a_task_throws_comes_out_of_run_once_and_after_all_tasks) {
  for (int threads : {1, 2, 4}) {
    pw::ThreadPool pool(threads);
    for (int64_t job = 0; job < 200; ++job) {
      std::atomic<int> begun{0};
      bool thrown = false;
      try {
        pool.run(16, [&](int64_t task, int) {
          begun.fetch_add(1);
          if (task % 5 == job % 5) throw pw::Error(PW_OUT_OF_MEMORY, "task " + std::to_string(task));
        });
      } catch (const pw::Error& error) {
        thrown = error.status() == PW_OUT_OF_MEMORY;
      }
      CHECK(thrown);
      CHECK(threads == 1 || begun.load() == 16);
      int64_t sum = 0;
      pool.run(1, [&](int64_t, int) { sum = job; });
      CHECK(sum == job);
    }
  }
}
