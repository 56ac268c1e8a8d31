"""Runs stomp.py's own tests that are in the current directory; one line of JSON for each, as program.ts reads them."""

import json
import pathlib
import sys

import pytest

files = ['basic', 'context', 'misc', 'nonascii', 's10', 's11', 's12', 'threading', 'override_threading']
files += ['transport', 'utils', 'rabbitmq']

# Its reason is told once for each that is not run.
left_out = {
    'It is about the library alone: no broker, or a server of its own at a port that may be taken.': [
        'basic::TestBasic::test_timeout',
        'misc::TestNoResponseConnectionKill::test_noresponse',
        's11::Test11Send::testheartbeat_timeout',
        's11::Test11Send::testheartbeat_shutdown',
        's12::Test12Connect::test_timeout',
    ],
}
other_files = 'It is about another server, TLS with its certificates, another transport, or the command line.'


def tell(name, outcome):
    print(json.dumps({'capability': 'test: ' + name, 'outcome': outcome}), flush=True)


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
        tell(name, outcome)


arguments = ['-s', '-p', 'no:cacheprovider', '-p', 'no:terminal']
for names in left_out.values():
    for name in names:
        file, *place = name.split('::')
        arguments += ['--deselect', '::'.join(['tests/test_%s.py' % file, *place])]
arguments += ['tests/test_%s.py' % name for name in files]
if len(sys.argv) > 1 and sys.argv[1]:
    arguments += ['-k', sys.argv[1]]
else:
    left_out[other_files] = sorted({path.stem[5:] for path in pathlib.Path('tests').glob('test_*.py')} - set(files))
    for reason, names in left_out.items():
        for name in names:
            tell(name, {'kind': 'skipped', 'reason': reason})
# Its outcomes are what is told.
pytest.main(arguments, plugins=[Reporter()])
