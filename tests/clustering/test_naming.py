"""Names in the words of the texts: what is chosen, what is left out, how it is written."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_cluster.clustering.naming import name_clusters, words_of
from sbert_cluster.clustering.stopwords import stop_words

TOPICS = [
    ["The zip broke on my jacket", "Jacket zip stuck again", "A broken zip, a good jacket"],
    ["My iPhone app crashes", "The app on the iPhone is slow", "iPhone app: cannot log in"],
    ["Late delivery, twice", "Another late delivery", "Late delivery and no reply"],
]


def named(topics):
    texts = [text for topic in topics for text in topic]
    labels = np.repeat(np.arange(len(topics)), [len(topic) for topic in topics])
    return name_clusters(texts, labels)


def test_names_say_what_the_texts_say():
    """The words that set a cluster apart, a phrase where two words stand together."""
    zips, apps, late = named(TOPICS)
    assert zips.label.startswith("Jacket · zip")
    assert apps.label.startswith("iPhone app") or set(apps.label.split(" · ")) >= {"iPhone", "app"}
    assert late.label.startswith("Late delivery")


def test_casing_is_that_of_the_texts():
    """A capital counts in the middle of a sentence; at its start it says nothing."""
    texts = [
        ["Refund via PayPal please", "my PayPal refund", "no PayPal refund yet"],
        ["Tent leaks in rain", "Rain in the tent", "Tent wet from rain"],
    ]
    paypal, tent = named(texts)
    assert "PayPal refund" in paypal.keywords
    assert {"tent", "rain"} <= set(tent.keywords)


def test_words_are_not_repeated():
    """Neither as a plural, nor as a part of a phrase, nor with another ending."""
    texts = [
        ["charging the charger", "the chargers charge", "charger charging charges slowly"] * 2,
        ["something else about socks", "socks and other socks", "sock"] * 2,
    ]
    stems = [word.casefold()[:5] for word in named(texts)[0].keywords]
    assert len(stems) == len(set(stems))


def test_stop_words_follow_the_language():
    """Articles of the languages in the texts are no keywords; of the others they are words."""
    german = ["der Reißverschluss an der Jacke klemmt", "die Jacke hat einen Reißverschluss"] * 4
    english = ["the order did not arrive", "where is the order that did not arrive"] * 4
    for name in named([german, english]):
        assert not {"der", "die", "an", "the", "did"} & set(name.keywords)
    assert "die" not in stop_words(["die", "battery", "hard"] * 2 + ["the", "is", "of"] * 20)
    assert "der" in stop_words("der die das und ist nicht ein Hund".lower().split())


def test_scripts_without_spaces_have_words():
    """Pairs of characters stand for words; hiragana alone is grammar."""
    assert [word.form for word in words_of("返品の方法")] == ["返品", "品の", "の方", "方法"]
    assert [word.form for word in words_of("どうやって")] == []
    names = named(
        [["返品の方法", "返品したい", "返品できます"], ["送料は", "送料について", "送料"]]
    )
    assert [name.keywords[0] for name in names] == ["返品", "送料"]


@pytest.mark.parametrize("texts", [["", ""], ["the", "of"], ["!!!", "…"], ["\x00", "\u202e"]])
def test_texts_without_words_still_have_a_name(texts):
    """A number, where there is nothing else."""
    first, second = named([texts, texts])
    assert first.label == "Cluster 0"
    assert second.label == "Cluster 1"


def test_no_two_names_are_the_same():
    """Clusters with the same words are told apart."""
    names = named([["red shoe"] * 3, ["red shoe"] * 3, ["red shoe"] * 3])
    assert len({name.label for name in names}) == 3


def test_noise_is_not_named():
    """Rows at -1 lend no words."""
    names = name_clusters(["apple pie", "apple pie", "zebra"], np.array([0, 0, -1]))
    assert len(names) == 1
    assert "zebra" not in names[0].keywords
    assert name_clusters(["x"], np.array([-1])) == []
