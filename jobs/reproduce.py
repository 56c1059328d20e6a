"""Train the rows of a published table and write it beside the paper's figures, with intervals and paired tests.

`branchpoint published list` names the tables. Without --data-root the cohort is a phantom, and everything is made small
enough to be tried (--demo: minutes; --smoke: the smallest run through everything); the figures then say nothing of the
paper's. Started again after a kill, the same command goes on where it was.
"""

from branchpoint.commands.reproduce import main

if __name__ == "__main__":
    main()
