"""Runs one of Paho's interoperability suites: the directory that it lies in, its module, and the port of the broker."""
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


class Result(unittest.TextTestResult):
    def _tell(self, test, word):
        print("result", word, test._testMethodName, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._tell(test, "pass")

    def addError(self, test, err):
        super().addError(test, err)
        self._tell(test, "fail")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell(test, "fail")


unittest.main(module=suite, argv=[name, "-v"] + sys.argv[4:], testRunner=unittest.TextTestRunner(resultclass=Result, verbosity=2))
