// SPDX-License-Identifier: Apache-2.0
// The host side of the CUDA backend below N-API, with kernels of its own: launches, uploads, error words, graphs and
// their refilling, and what happens when a kernel faults.
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "gpu/device.h"
#include "gpu/executor.h"
#include "gpu_kernels.h"

namespace {

using namespace pw;
using Body = std::function<void(gpu::Context&)>;

bool hasGpu() {
  static const bool has = gpu::driver().usable;
  static const bool told = has || std::printf("skipped: gpu_test: %s\n", gpu::driver().reason.c_str()) > 0;
  return has && told;
}

/// A plan, as far as replays are concerned.
struct Items final : RefCounted {
  explicit Items(uint64_t id, std::vector<uint32_t> values) : id(id), values(std::move(values)) {}
  const uint64_t id;
  const std::vector<uint32_t> values;
};

/// An open device with one stream.
class Gpu {
 public:
  explicit Gpu(int64_t memoryLimit = 0) : device_(gpu::GpuDevice::open(0, memoryLimit)) {}
  ~Gpu() {
    device_->engine().close();
    device_->engine().join();
  }

  static Command command(const char* name, Body body) {
    return {name, {}, [body](Executor& executor) { body(static_cast<gpu::GpuExecutor&>(executor).context()); }, false};
  }
  void run(const char* name, Body body) { submit(command(name, std::move(body))); }
  void submit(Command command) { submit(std::move(command), stream_); }
  void submit(Command command, const Ref<Stream>& stream) { device_->engine().submit(stream, std::move(command)); }

  /// Waits for what has been submitted. @return the first error's message, with its code in front; "" for none
  std::string synchronize() { return synchronize(stream_); }
  std::string synchronize(const Ref<Stream>& stream) {
    auto ended = std::make_shared<std::promise<void>>();
    std::future<void> future = ended->get_future();
    std::shared_ptr<void> completion(nullptr, [ended](void*) { ended->set_value(); });
    Command last{"synchronize", {}, [completion](Executor&) {}, true};
    completion.reset();
    submit(std::move(last), stream);
    future.wait();
    std::string message;
    const pw_status status = stream->takeError(&message);
    return status == PW_OK ? "" : errorCode(status) + (": " + message);
  }

  Ref<Storage> words(size_t count) { return device_->allocate(4 * count); }
  std::vector<uint32_t> read(const Ref<Storage>& storage) {
    std::vector<uint32_t> host(storage->bytes() / 4);
    pw_tensor view{};
    view.data = storage->data();
    view.dtype = PW_I32;
    view.rank = 1;
    view.shape[0] = static_cast<int64_t>(host.size());
    view.strides[0] = 1;
    submit({"read", {storage}, [&](Executor& executor) { executor.download(view, host.data()); }, true});
    const std::string problem = synchronize();
    CHECK(problem.empty());
    return host;
  }

  gpu::GpuDevice& device() { return *device_; }

 private:
  Ref<gpu::GpuDevice> device_;
  Ref<Stream> stream_ = makeRef<Stream>();
};

void store(gpu::Context& context, void* out, uint32_t value, uint32_t count) {
  const StoreParams params{static_cast<uint32_t*>(out), value, count};
  context.launch(context.kernel("test/good", "pw_test_store"), {(count + 31) / 32}, {32}, 0, params);
}

void fault(gpu::Context& context) {
  context.launch(context.kernel("test/faulty", "pw_test_fault"), {1}, {1}, 0, uint64_t{0x10});
}

/// out[i] = 2 * items[i], written as a launcher over a plan should be.
void doubleItems(gpu::Context& context, const Items& items, void* out) {
  const auto count = static_cast<uint32_t>(items.values.size());
  DoubleParams params{};
  params.count = static_cast<const uint32_t*>(context.upload(&count, sizeof count));
  params.items = static_cast<const uint32_t*>(context.uploadOnce(items.id, items.values.data(), 4 * count, 4 * 64));
  params.out = static_cast<uint32_t*>(out);
  context.launch(context.kernel("test/good", "pw_test_double"), {context.gridCapacity(count)}, {32}, 0, params);
}

void report(gpu::Context& context, uint32_t status, int32_t row, int64_t value) {
  const ReportParams params{context.errorWord(), status, row, value};
  context.launch(context.kernel("test/good", "pw_test_report"), {1}, {1}, 0, params);
}

}  // namespace

TEST(launches_run_in_order_and_scratch_lasts_for_a_command) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(100);
  for (uint32_t i = 1; i <= 200; ++i)
    gpu.run("store", [=](gpu::Context& context) {
      void* first = context.scratch(400);
      void* second = context.scratch(300000);
      CHECK(first != second && reinterpret_cast<uintptr_t>(second) % 256 == 0);
      store(context, first, i, 100);
      store(context, second, 0, 100);
      context.copy(out->data(), first, 400);
    });
  CHECK(gpu.read(out) == std::vector<uint32_t>(100, 200));
  CHECK(gpu.device().counters().kernels == 400);
}

TEST(uploads_may_be_forgotten_at_once_and_are_shared_when_they_never_change) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(3);
  const auto items = std::make_shared<Items>(7, std::vector<uint32_t>{1, 20, 300});
  for (int i = 0; i < 3; ++i)
    gpu.run("double", [=](gpu::Context& context) { doubleItems(context, *items, out->data()); });
  CHECK((gpu.read(out) == std::vector<uint32_t>{2, 40, 600}));
}

TEST(data_errors_surface_with_the_op_and_only_once) {
  if (!hasGpu()) return;
  Gpu gpu;
  gpu.run("fine", [](gpu::Context& context) { context.errorWord(); });
  gpu.run("embedding", [](gpu::Context& context) { report(context, PW_INVALID_TOKEN, 3, 512); });
  gpu.run("sample", [](gpu::Context& context) { report(context, PW_INVALID_LOGITS, 0, 0); });
  CHECK(gpu.synchronize() == "ERR_INVALID_TOKEN: embedding: row 3 has token id 512, which is outside the vocabulary");
  CHECK(gpu.synchronize().empty());
}

TEST(launch_errors_are_reported_in_stream_order) {
  if (!hasGpu()) return;
  Gpu gpu;
  gpu.run("first", [](gpu::Context& context) { report(context, PW_INVALID_ARGUMENT, 1, -5); });
  gpu.run("second", [](gpu::Context& context) { context.kernel("test/none", "x"); });
  CHECK(gpu.synchronize() == "ERR_INVALID_ARGUMENT: first: row 1 has the value -5, which is out of range");
  gpu.run("module", [](gpu::Context& context) { context.kernel("test/none", "x"); });
  CHECK(gpu.synchronize() == "ERR_DEVICE_UNAVAILABLE: module: this build has no device code for module test/none");
  gpu.run("broken", [](gpu::Context& context) { context.kernel("test/broken", "x"); });
  CHECK(gpu.synchronize().find("broken: module test/broken cannot be loaded on") != std::string::npos);
  gpu.run("entry", [](gpu::Context& context) { context.kernel("test/good", "pw_test_nothing"); });
  CHECK(gpu.synchronize().find(
            "kernel pw_test_nothing of module test/good cannot be used on sm_80: CUDA_ERROR_NOT_FOUND") !=
        std::string::npos);
  gpu.run("shared", [](gpu::Context& context) {
    context.launch(context.kernel("test/good", "pw_test_store"), {1}, {32}, 1 << 20, StoreParams{});
  });
  CHECK(gpu.synchronize().find("needs 1048576 bytes of dynamic shared memory") != std::string::npos);
}

TEST(shared_memory_above_48_kib_and_occupancy) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(32);
  int few = 0, many = 0;
  gpu.run("shared", [&](gpu::Context& context) {
    const gpu::Kernel& kernel = context.kernel("test/good", "pw_test_store");
    context.launch(kernel, {1}, {32}, 96 * 1024, StoreParams{static_cast<uint32_t*>(out->data()), 9, 32});
    few = context.residentBlocks(kernel, 32, 96 * 1024);
    many = context.residentBlocks(kernel, 32, 0);
    CHECK(context.residentBlocks(kernel, 32, 0) == many);
  });
  CHECK(gpu.read(out) == std::vector<uint32_t>(32, 9));
  CHECK(few >= 1 && many > few);
}

namespace {

/// A list of two commands that use a plan, and one that does not.
Ref<CommandList> doublingList(const Ref<Items>& plan, const Ref<Storage>& a, const Ref<Storage>& b) {
  Ref<CommandList> list = makeRef<CommandList>();
  const auto doubling = [&](const Ref<Storage>& out) {
    list->commands.push_back({"double",
                              {plan, out},
                              [plan, out](Executor& executor) {
                                doubleItems(static_cast<gpu::GpuExecutor&>(executor).context(), executor.resolve(plan),
                                            out->data());
                              },
                              false});
  };
  list->commands.push_back(Gpu::command("clear", [a, b](gpu::Context& context) {
    context.zero(a->data(), a->bytes());
    context.zero(b->data(), b->bytes());
  }));
  doubling(a);
  doubling(b);
  return list;
}

}  // namespace

TEST(graphs_are_refilled_for_newer_plans_and_captured_anew_when_they_do_not_fit) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> a = gpu.words(40), b = gpu.words(40);
  const Ref<Items> captured = makeRef<Items>(1, std::vector<uint32_t>{1, 2, 3});
  const Ref<CommandList> list = doublingList(captured, a, b);
  const auto replay = [&](uint64_t id, std::vector<uint32_t> values) {
    std::vector<uint32_t> expected(40, 0);
    for (size_t i = 0; i < values.size(); ++i) expected[i] = 2 * values[i];
    const Ref<Items> plan = makeRef<Items>(id, std::move(values));
    gpu.submit({"replay",
                {list},
                [list, captured, plan](Executor& executor) {
                  executor.replay(*list, {{Ref<RefCounted>(captured), Ref<RefCounted>(plan)}});
                },
                false});
    CHECK(gpu.read(a) == expected);
    CHECK(gpu.read(b) == expected);
  };
  const gpu::LaunchCounters& counters = gpu.device().counters();
  replay(1, {1, 2, 3});
  CHECK(counters.graphCaptures == 1 && counters.graphLaunches == 1);
  replay(2, {5});                       // fewer items
  replay(3, {1, 2, 3, 4, 5, 6, 7, 8});  // as many as the smallest grid has blocks
  CHECK(counters.graphCaptures == 1 && counters.graphLaunches == 3);
  replay(4, std::vector<uint32_t>(33, 4));  // more than the grid
  CHECK(counters.graphCaptures == 2 && counters.graphLaunches == 4);
  replay(5, std::vector<uint32_t>(40, 6));
  replay(6, {});
  CHECK(counters.graphCaptures == 2 && counters.graphLaunches == 6);
}

TEST(graphs_report_errors_of_their_own_replay) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> status = gpu.words(1);
  Ref<CommandList> list = makeRef<CommandList>();
  // The status to report is read from device memory: captured once, it differs from replay to replay.
  list->commands.push_back(Gpu::command("quiet", [](gpu::Context& context) { context.errorWord(); }));
  list->commands.push_back(
      Gpu::command("loud", [status](gpu::Context& context) { context.copy(context.errorWord(), status->data(), 4); }));
  const auto replay = [&](uint32_t value) {
    gpu.run("fill", [status, value](gpu::Context& context) { context.fill(status->data(), 4, value, 1); });
    gpu.submit({"replay", {list}, [list](Executor& executor) { executor.replay(*list, {}); }, false});
  };
  replay(PW_OK);
  CHECK(gpu.synchronize().empty());
  replay(PW_INVALID_LOGITS);
  CHECK(gpu.synchronize() == "ERR_INVALID_LOGITS: loud: row 0 of the logits holds a NaN, or nothing finite");
  replay(PW_OK);
  CHECK(gpu.synchronize().empty());
}

TEST(an_op_that_fails_while_it_is_captured_leaves_the_list_usable) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(32);
  const auto fails = std::make_shared<std::atomic<bool>>(true);
  Ref<CommandList> list = makeRef<CommandList>();
  list->commands.push_back(Gpu::command("picky", [=](gpu::Context& context) {
    store(context, out->data(), 1, 32);
    if (*fails) throw Error(PW_UNSUPPORTED, "not now");
  }));
  const auto replay = [&] {
    gpu.submit({"replay", {list}, [list](Executor& executor) { executor.replay(*list, {}); }, false});
    return gpu.synchronize();
  };
  CHECK(replay() == "ERR_UNSUPPORTED: replay: picky: not now");
  *fails = false;
  CHECK(replay().empty());
  CHECK(gpu.read(out) == std::vector<uint32_t>(32, 1));
}

TEST(a_fault_is_blamed_on_what_its_streams_were_at) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(32), other = gpu.words(32);
  const Ref<Stream> second = makeRef<Stream>();
  const auto storing = [](const char* name, const Ref<Storage>& to) {
    return Gpu::command(name, [to](gpu::Context& context) { store(context, to->data(), 1, 32); });
  };
  // Done, and known to be: not suspected, nor is what waits behind the fault.
  for (int i = 0; i < 3; ++i) gpu.submit(storing("embedding", other), second);
  CHECK(gpu.synchronize(second).empty());
  for (int i = 0; i < 70; ++i) gpu.submit(storing("rmsNorm", out));
  gpu.submit(Gpu::command("attention", [](gpu::Context& context) { fault(context); }));
  for (int i = 0; i < 70; ++i) gpu.submit(storing("linear", out));
  const std::string problem = gpu.synchronize();
  CHECK(problem.find("ERR_DEVICE_LOST") == 0 && problem.find("during attention (CUDA_ERROR") != std::string::npos);
  for (const char* innocent : {"embedding", "rmsNorm", "linear", "one of"})
    CHECK(problem.find(innocent) == std::string::npos);
  // Whoever asks next is told the same.
  gpu.submit(storing("sample", other), second);
  CHECK(gpu.synchronize(second).find("during attention") != std::string::npos);
}

TEST(a_fault_names_what_each_of_several_busy_streams_was_at) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> flag = gpu.words(1), out = gpu.words(32);
  const Ref<Stream> busy[] = {makeRef<Stream>(), makeRef<Stream>()}, idle = makeRef<Stream>();
  const auto storing = [out](const char* name) {
    return Gpu::command(name, [out](gpu::Context& context) { store(context, out->data(), 1, 32); });
  };
  gpu.submit(storing("embedding"), idle);
  CHECK(gpu.synchronize(idle).empty());
  gpu.run("fill", [flag](gpu::Context& context) { context.zero(flag->data(), 4); });
  CHECK(gpu.synchronize().empty());
  // One stream faults, but not before the work of the others, which comes after it, has been enqueued.
  gpu.run("attention", [flag](gpu::Context& context) {
    context.launch(context.kernel("test/good", "pw_test_wait"), {1}, {1}, 0, reinterpret_cast<uint64_t>(flag->data()));
    fault(context);
  });
  const Ref<Event> event = makeRef<Event>();
  const Engine* engine = &gpu.device().engine();
  const Ref<Recording> recording = makeRef<Recording>(event, engine);
  gpu.submit({"recordEvent",
              {recording},
              [=](Executor& executor) { executor.recordEvent(event, recording->number()); },
              false});
  for (int i = 0; i < 2; ++i) {
    gpu.submit({"waitEvent",
                {recording},
                [=](Executor& executor) { executor.waitEvent(event, recording->number(), true, engine->cancelled()); },
                false},
               busy[i]);
    gpu.submit(storing(i == 0 ? "linear" : "sample"), busy[i]);
    gpu.submit(storing("argmax"), busy[i]);
  }
  gpu.submit(Gpu::command("open", [flag](gpu::Context& context) { store(context, flag->data(), 1, 1); }), idle);
  const std::string problem = gpu.synchronize();
  CHECK(problem.find("ERR_DEVICE_LOST") == 0 && problem.find("during one of ") != std::string::npos);
  for (const char* suspect : {"attention", "linear", "sample", "(PAGEWARP_CUDA_SYNC=1 finds out which)"})
    CHECK(problem.find(suspect) != std::string::npos);
  for (const char* innocent : {"embedding", "fill", "recordEvent", "waitEvent", "argmax"})
    CHECK(problem.find(innocent) == std::string::npos);
}

TEST(a_fault_in_a_graph_names_its_ops) {
  if (!hasGpu()) return;
  Gpu gpu;
  Ref<Storage> out = gpu.words(32);
  Ref<CommandList> list = makeRef<CommandList>();
  list->commands.push_back(Gpu::command("rope", [out](gpu::Context& context) { store(context, out->data(), 1, 32); }));
  list->commands.push_back(Gpu::command("attention", [](gpu::Context& context) { fault(context); }));
  gpu.run("embedding", [out](gpu::Context& context) { store(context, out->data(), 2, 32); });
  gpu.submit({"replay", {list}, [list](Executor& executor) { executor.replay(*list, {}); }, false});
  const std::string problem = gpu.synchronize();
  CHECK(problem.find("during replay of (rope, attention) (CUDA_ERROR") != std::string::npos);
}

TEST(a_fault_breaks_the_device_loudly_and_a_new_one_works) {
  if (!hasGpu()) return;
  {
    Gpu gpu;
    Ref<Storage> out = gpu.words(1);
    CHECK(gpu.read(out).size() == 1);
    gpu.run("attention", [](gpu::Context& context) { fault(context); });
    const std::string problem = gpu.synchronize();
    CHECK(problem.find("ERR_DEVICE_LOST") == 0 && problem.find("attention") != std::string::npos);
    gpu.run("rmsNorm", [out](gpu::Context& context) { store(context, out->data(), 1, 1); });
    CHECK(gpu.synchronize().find("ERR_DEVICE_LOST") == 0);
    bool refused = false;
    try {
      gpu.words(1);
    } catch (const Error& error) {
      refused = error.status() == PW_DEVICE_LOST;
    }
    CHECK(refused);
  }
  Gpu fresh;
  Ref<Storage> out = fresh.words(32);
  fresh.run("store", [out](gpu::Context& context) { store(context, out->data(), 3, 32); });
  CHECK(fresh.read(out) == std::vector<uint32_t>(32, 3));
}
