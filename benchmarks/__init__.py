"""How fast it is, as ratios within one run: `make bench`. Rules: spec/performance.md section 5.

No test asserts a time; this prints figures. Not part of the package.
"""
