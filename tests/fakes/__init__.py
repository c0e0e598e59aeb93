"""Stand-ins and real servers for the tests: ``from fakes.mail import Mailbox``."""
