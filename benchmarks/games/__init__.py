"""Game solvers against OpenSpiel, Gambit, Nashpy and HiGHS, in turn in one process."""
