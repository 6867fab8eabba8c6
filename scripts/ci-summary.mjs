#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Adds up the reports in a folder (steps.tsv of .ci/run, Vitest's JSON, CTest's JUnit XML), and prints each failure, the
// time of each step, and the line "N passed, N failed". A runner's own step is counted only when it failed without
// naming a test.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2] ?? 'build/reports';
const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

function read(name) {
  const file = path.join(folder, name);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function fail(what) {
  total.failed += 1;
  failures.push(what);
}

function addVitest(text) {
  for (const file of JSON.parse(text).testResults) {
    const failedBefore = total.failed;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') total.passed += 1;
      else if (test.status === 'failed') fail(`${file.name}: ${test.fullName}`);
      else total.skipped += 1;
    }
    if (file.status === 'failed' && total.failed === failedBefore) fail(`${file.name}: ${file.message}`);
  }
}

/** A test program that prints its own "N passed, N failed" counts as so many tests, another one as a single test. */
function addCtest(text) {
  for (const [, attributes, body] of text.matchAll(/<testcase ([^>]*)>(.*?)<\/testcase>/gs)) {
    const name = /name="([^"]*)"/.exec(attributes)?.[1];
    const status = /status="([^"]*)"/.exec(attributes)?.[1];
    const counts = /(\d+) passed, (\d+) failed/.exec(body);
    if (status === 'run') total.passed += counts ? Number(counts[1]) : 1;
    else if (status === 'fail') fail(`ctest: ${name}`);
    else total.skipped += 1;
  }
}

const runners = [
  { step: 'tests', report: 'vitest.json', add: addVitest },
  { step: 'native tests under ASan and UBSan', report: 'ctest.xml', add: addCtest },
];
const reported = new Map();
for (const { step, report, add } of runners) {
  const text = read(report);
  const failedBefore = total.failed;
  if (text !== undefined) add(text);
  reported.set(step, { ran: text !== undefined, failed: total.failed - failedBefore });
}

console.log('\nSeconds  step');
for (const line of (read('steps.tsv') ?? '').trim().split('\n')) {
  const [outcome, step, seconds] = line.split('\t');
  console.log(`${seconds.padStart(7)}  ${step}${outcome === 'failed' ? ' (failed)' : ''}`);
  const runner = reported.get(step);
  if (outcome === 'failed' && (runner === undefined || runner.failed === 0)) fail(step);
  if (outcome === 'passed' && !runner?.ran) total.passed += 1;
}
for (const failure of failures) console.log(`failed: ${failure}`);
if (total.skipped > 0) console.log(`${total.skipped} skipped, each announced above`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
