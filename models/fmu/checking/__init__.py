"""Does an FMU work? What its description promises and what it does when it is run.

report = suite.check_fmu(Path("pump.fmu"))
assert report.verdict is Verdict.WORKS, report.to_dict()
"""
