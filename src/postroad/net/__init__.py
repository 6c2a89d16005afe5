"""The network: the only package that opens sockets and reads clocks.

Everything above takes a `Clock`, a `Lookup` and a way to open a `Stream` as parameters, so that
days of retries and whole zones of DNS fit into a unit test.
"""
