from scgim.scm import SearchProgress
from scgim.spaces._search_progress_bar import SearchProgressBar


def test_the_best_score_is_shown(capsys):
    with SearchProgressBar(is_shown=True) as bar:
        bar.report(SearchProgress(2, 5, score=-3.0, best_score=-4.25))
    shown = capsys.readouterr()
    assert "best score -4.2" in shown.err
    assert "40%" in shown.err
    assert not shown.out


def test_nothing_is_shown_when_asked_for(capsys):
    with SearchProgressBar(is_shown=False) as bar:
        bar.report(SearchProgress(1, 5, score=-3.0, best_score=-4.0))
    assert not capsys.readouterr().err
