from tests.core.harness import *
def test_a():
    p = Pair()
    c = p.left.call(ECHO, b"hi")
    p.run()
    assert p.left.outcomes[c] == b"hi"
    p.left.close("x", 0)
    p.wait(5)
    p.assert_nothing_left()
