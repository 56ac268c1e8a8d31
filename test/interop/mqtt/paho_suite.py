"""Runs one of Paho's interoperability suites: the directory that it lies in, its module, and the port of the broker."""
import json
import logging
import sys
import unittest

directory, name, port = sys.argv[1:4]
sys.path.insert(0, directory)
suite = __import__(name)
suite.host, suite.port = "127.0.0.1", int(port)
if name == "client_test":
    suite.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
    suite.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
    suite.nosubscribe_topics = ("test/nosubscribe",)
else:
    suite.setData()
    suite.topic_prefix = "client_test5/"
logging.getLogger().setLevel(logging.ERROR)


class Result(unittest.TestResult):
    def tell(self, test, outcome):
        print(json.dumps({"capability": f"test: {test._testMethodName}", "outcome": outcome}), flush=True)

    def addSuccess(self, test):
        self.tell(test, {"kind": "passed"})

    def fail(self, test, err):
        self.tell(test, {"kind": "failed", "reason": str(err[1]) or err[0].__name__})

    addError = fail
    addFailure = fail


class Runner:
    def run(self, tests):
        result = Result()
        tests(result)
        return result


unittest.main(module=suite, argv=[name] + sys.argv[4:], testRunner=Runner, exit=False)
