"""Looking at results: curves, classes, confusion matrix, mistakes, short texts; suggestions of the range test."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from conftest import small_model

import minidl
from minidl.inspection.curves import html_table
from minidl.learning_rate.range_test import RangeTest, longest_descent

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def trained(small_data):
    model = small_model()
    history = minidl.fit(model, minidl.SGD(0.3), small_data, small_data, epochs=4, batch_size=10, seed=0)
    return model, history


@pytest.mark.parametrize(("what", "label", "scale"), [("accuracy", "accuracy (%)", 100), ("loss", "loss", 1)])
def test_a_history_draws_itself(trained, what, label, scale):
    _, history = trained
    axes = history.plot(what=what)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epochs", label)
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(lines) == ["train", "test"]
    for part, values in lines.items():
        np.testing.assert_allclose(values, scale * np.array(getattr(history, f"{part}_{what}")))
    assert history.plot(axes, what) is axes


@pytest.mark.parametrize("history", [minidl.History()])
def test_a_history_without_an_epoch_says_so(history):
    with pytest.raises(ValueError, match=r"^what: there is no loss to draw"):
        history.plot(what="loss")
    with pytest.raises(ValueError, match=r"^what: expected one of accuracy, loss, got 'lr'"):
        history.plot(what="lr")


def test_a_history_is_a_line_of_text_and_a_table(trained):
    _, history = trained
    assert repr(history) == (
        f"History(4 epochs: train loss {history.train_loss[-1]:.4g}, train accuracy {history.train_accuracy[-1]:.2%}, "
        f"test loss {history.test_loss[-1]:.4g}, test accuracy {history.test_accuracy[-1]:.2%})"
    )
    assert repr(minidl.History()) == "History(0 epochs)"
    html = history._repr_html_()
    assert html.startswith("<table>")
    assert f"<td>{history.test_accuracy[-1]:.2%}</td>" in html


def test_a_table_escapes_what_it_is_given():
    assert "&lt;script&gt;" in html_table([{"a": "<script>"}])


def test_classes_are_the_most_probable_ones(trained, small_data):
    model, _ = trained
    np.testing.assert_array_equal(minidl.classes(model, small_data.x), model.forward(small_data.x).argmax(axis=1))
    with pytest.raises(ValueError, match=r"^x: "):
        minidl.classes(model, small_data.x[:0])


def test_the_confusion_matrix_counts_by_right_and_given_class(trained, small_data):
    model, history = trained
    x, labels = small_data
    matrix = minidl.confusion_matrix(model, (x, labels))
    given = minidl.classes(model, x)
    expected = [[sum((labels == right) & (given == wrong)) for wrong in range(2)] for right in range(2)]
    assert matrix.tolist() == expected
    assert matrix.trace() / 60 == history.test_accuracy[-1]


def test_the_confusion_matrix_has_a_row_for_a_class_that_never_comes(trained, small_data):
    model, _ = trained
    only = small_data.labels == 1
    matrix = minidl.confusion_matrix(model, (small_data.x[only], small_data.labels[only]))
    assert matrix.shape == (2, 2)
    assert matrix[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda labels: labels[1:], r"data: expected 60 labels, one per sample, got shape \(59,\)"),
        (lambda labels: labels + 1, "data: expected labels from 0 to 1, got 1 to 2"),
        (lambda labels: labels - 1, "data: expected labels from 0 to 1, got -1 to 0"),
        (lambda labels: labels.astype(float), "data: expected integer labels"),
        (lambda labels: np.eye(2, dtype=int)[labels], r"data: .*got shape \(60, 2\); these are one-hot"),
    ],
)
def test_the_confusion_matrix_refuses_labels_that_do_not_fit(trained, small_data, labels, message):
    model, _ = trained
    with pytest.raises((TypeError, ValueError), match=message):
        minidl.confusion_matrix(model, (small_data.x, labels(small_data.labels)))


def test_a_confusion_matrix_is_drawn_with_its_counts():
    axes = minidl.plot_confusion_matrix(np.array([[5, 1], [0, 7]]))
    assert sorted(text.get_text() for text in axes.texts) == ["1", "5", "7"]
    assert minidl.plot_confusion_matrix(np.eye(3, dtype=int), axes) is axes
    with pytest.raises(
        ValueError, match=r"^matrix: expected one from minidl.confusion_matrix, \(K, K\), got shape \(2,\)"
    ):
        minidl.plot_confusion_matrix(np.ones(2))


def test_the_gallery_shows_the_most_confident_mistakes_first(small_data):
    model = small_model()
    data = minidl.Dataset(small_data.x[:, :4].copy(), small_data.labels)
    model = minidl.Sequential(minidl.Dense(4, 2), minidl.LogSoftmax(), seed=1)
    wrong = np.flatnonzero(minidl.classes(model, data.x) != data.labels)
    figure = minidl.plot_mistakes(model, (data.x, data.labels), shape=(2, 2), most=7)
    assert figure.get_suptitle() == f"{len(wrong)} of 60 images are wrong; 7 of them"
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    sure = [float(title.partition("(")[2].rstrip("%)")) for title in titles]
    assert len(titles) == 7
    assert sure == sorted(sure, reverse=True)
    assert all(title[0] != title.partition("taken for ")[2][0] for title in titles)


def test_the_gallery_of_a_model_without_mistakes(small_data):
    model = minidl.Sequential(minidl.Dense(4, 2), minidl.LogSoftmax(), seed=1)
    x = small_data.x[:, :4].copy()
    figure = minidl.plot_mistakes(model, (x, minidl.classes(model, x)), shape=(2, 2))
    assert figure.get_suptitle() == "0 of 60 images are wrong"


@pytest.mark.parametrize(("options", "message"), [({"shape": (3, 2)}, "shape: "), ({"most": 0}, "most: ")])
def test_the_gallery_refuses_by_name(small_data, options, message):
    model = minidl.Sequential(minidl.Dense(4, 2), minidl.LogSoftmax(), seed=1)
    with pytest.raises(ValueError, match=message):
        minidl.plot_mistakes(model, (small_data.x[:, :4], small_data.labels), **({"shape": (2, 2)} | options))


def test_nothing_is_drawn_before_somebody_asks():
    code = "import sys, minidl; print('matplotlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


# The range test


def test_a_range_test_is_a_line_of_text_and_a_table():
    lr = np.geomspace(1e-4, 1, 50).tolist()
    loss = [2.0] * 10 + np.linspace(2, 1, 30).tolist() + np.linspace(1, 9, 10).tolist()
    found = RangeTest(lr, loss, loss)
    assert repr(found).startswith("RangeTest(50 updates, learning rates 0.0001 to 1; steepest ")
    assert repr(RangeTest([], [], [])) == "RangeTest(0 updates; no suggestion)"
    assert "<th>valley</th>" in found._repr_html_()


def test_a_missing_suggestion_cannot_reach_fit(small_data):
    """None would leave the learning rate of the optimiser as it is."""
    flat = RangeTest([0.1, 0.2], [2.0, 2.0], [2.0, 2.0])
    for name in ("steepest", "valley", "minimum_tenth"):
        with pytest.raises(ValueError, match="no suggestion: "):
            minidl.fit(
                small_model(),
                minidl.SGD(),
                small_data,
                small_data,
                epochs=1,
                batch_size=10,
                lr=getattr(flat, name)(),
            )
    assert "valley" not in flat.suggestions()


@pytest.mark.parametrize("seed", range(20))
def test_the_valley_is_where_fastai_finds_it(seed):
    """Half as many updates before the end of the longest descent as it is long, transcribed from the rule in words."""
    rng = np.random.default_rng(seed)
    n = 100
    smoothed = (3 - 2 * np.exp(-(((np.arange(n) - 70) / 30) ** 2)) + 0.05 * rng.normal(size=n)).tolist()
    lr = np.geomspace(1e-6, 1, n).tolist()
    found = RangeTest(lr, smoothed, smoothed)
    span = found._descent()
    values = [smoothed[i] for i in span]
    length = len(longest_descent(values))
    end = longest_descent(values)[-1]
    third, sixth = int(length / 3), int(length / 3 / 2)
    assert found.valley() == lr[span[end - length + third + sixth]]
    assert abs(end - length / 2 - (end - length + third + sixth)) <= 2
