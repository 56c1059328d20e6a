"""Answer one question about a study on pictures without a search: equal networks and budgets, several seeds, all folds.

``--question tasks``: is a task learned better together with the others than alone?
``--question hog``: does learning HOG beside the mask help, and does it help more than learning zeros of the same size?

Every picture is tested by networks that have not seen it; the epoch is chosen on validation pictures. Figures are means
over seeds, intervals and paired tests a bootstrap over seeds and pictures; trivial references stand beside them.
Started again after a kill, the same command goes on where it was.
"""

from branchpoint.commands.compare import main

if __name__ == "__main__":
    main()
