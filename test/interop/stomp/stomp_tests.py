"""Runs stomp.py's own tests that are in the current directory; one line of JSON for each, as program.ts reads them."""

import json
import sys

import pytest

# What is about other servers, TLS with their certificates, other transports, or the command line is not here.
files = ['basic', 'context', 'misc', 'nonascii', 's10', 's11', 's12', 'threading', 'transport', 'utils', 'rabbitmq']


class Reporter:
    def pytest_runtest_logreport(self, report):
        if report.when != 'call' and report.passed:
            return
        outcome = {'kind': report.outcome}
        if not report.passed:
            outcome['reason'] = ' '.join(str(report.longrepr).split())[-300:]
        name = report.nodeid.replace('tests/test_', '').replace('.py', '')
        if report.when == 'teardown':
            name += ' (teardown)'
        print(json.dumps({'capability': 'test: ' + name, 'outcome': outcome}), flush=True)


arguments = ['-s', '-p', 'no:cacheprovider', '-p', 'no:terminal']
# It is about a host that does not answer, and no broker.
arguments += ['--deselect', 'tests/test_basic.py::TestBasic::test_timeout']
arguments += ['tests/test_%s.py' % name for name in files]
if len(sys.argv) > 1 and sys.argv[1]:
    arguments += ['-k', sys.argv[1]]
# Its outcomes are what is told.
pytest.main(arguments, plugins=[Reporter()])
