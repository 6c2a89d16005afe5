"""DNS over the wire: questions, answers, a cache, and the proof that the resolver validates.

Nothing in here raises for what DNS says; the codec is pure, and the resolver is what others get.
"""
