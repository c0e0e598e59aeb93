"""Stand-ins and real servers for the tests: ``from fakes.mail import Mailbox``.

A test whose program is missing is skipped by the module of that program, such as ``node.need``,
``judges.need`` and ``browser.chromium``.
"""
