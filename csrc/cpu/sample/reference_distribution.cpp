// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample/reference_distribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu/rows.h"

namespace pw::cpu::reference {

std::vector<float> readLogits(const pw_tensor& logits, int64_t row) {
  std::vector<float> values(static_cast<size_t>(rowLength(logits)));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(readElement(rowPointer(logits, row), logits.dtype, static_cast<int64_t>(i)));
  return values;
}

bool validLogits(const std::vector<float>& logits) {
  bool finite = false;
  for (float x : logits) {
    if (std::isnan(x) || x == INFINITY) return false;
    finite = finite || std::isfinite(x);
  }
  return finite;
}

std::vector<int32_t> totalOrder(const std::vector<float>& logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  return order;
}

double logSumExp(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(x - top);
  return top + std::log(sum);
}

std::vector<double> targetProbabilities(const std::vector<float>& logits, const Request& request) {
  std::vector<double> probabilities(logits.size(), 0.0);
  std::vector<int32_t> order = totalOrder(logits);
  if (request.temperature < PW_GREEDY_TEMPERATURE) {
    probabilities[static_cast<size_t>(order[0])] = 1.0;
    return probabilities;
  }
  if (request.topK > 0) order.resize(std::min(order.size(), static_cast<size_t>(request.topK)));
  const auto logit = [&](int32_t token) { return logits[static_cast<size_t>(token)]; };
  const auto weight = [&](int32_t token) {
    return std::exp((static_cast<double>(logit(token)) - logit(order[0])) / request.temperature);
  };
  const auto sum = [&] {
    return std::accumulate(order.begin(), order.end(), 0.0, [&](double s, int32_t token) { return s + weight(token); });
  };
  if (request.topP < 1.0f) {
    const double target = request.topP * sum();
    double reached = 0;
    size_t kept = 0;
    do {
      reached += weight(order[kept++]);
    } while (kept < order.size() && reached < target);
    order.resize(kept);
  }
  if (request.minP > 0.0f) {
    const auto threshold =
        static_cast<float>(logit(order[0]) + std::log(static_cast<double>(request.minP)) * request.temperature);
    while (logit(order.back()) < threshold) order.pop_back();
  }
  const double total = sum();
  for (int32_t token : order) probabilities[static_cast<size_t>(token)] = weight(token) / total;
  return probabilities;
}

int64_t drawFrom(const std::vector<double>& weights, double uniform) {
  double left = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  int64_t token = -1;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    token = static_cast<int64_t>(i);
    if (left < weights[i]) break;
    left -= weights[i];
  }
  return token;
}

}  // namespace pw::cpu::reference
