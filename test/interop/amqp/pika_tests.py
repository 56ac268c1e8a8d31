"""Runs pika's acceptance tests that are in the current directory; one line of JSON for each, as program.ts reads them."""

import json
import logging
import sys
import unittest

modules = ['tests.acceptance.blocking_adapter_test', 'tests.acceptance.async_adapter_tests']


def say(test, kind, reason=None):
    name = '.'.join(test.id().split('.')[2:])
    outcome = {'kind': kind}
    if reason is not None:
        outcome['reason'] = ' '.join(reason.split())[-300:]
    print(json.dumps({'capability': 'test: ' + name, 'outcome': outcome}), flush=True)


class Result(unittest.TestResult):

    def addSuccess(self, test):
        say(test, 'passed')

    def addError(self, test, err):
        say(test, 'failed', str(err[1]) or repr(err[1]))

    def addFailure(self, test, err):
        say(test, 'failed', str(err[1]) or repr(err[1]))

    def addSkip(self, test, reason):
        say(test, 'skipped', reason)


logging.disable(logging.CRITICAL)
sys.path.insert(0, '.')
only = sys.argv[1] if len(sys.argv) > 1 else ''


def all_tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_tests(test)
        elif only in test.id():
            yield test


result = Result()
for module in modules:
    for test in all_tests(unittest.defaultTestLoader.loadTestsFromName(module)):
        test.run(result)
