"""Static models: the vectors are those of sentence-transformers, and of plain arithmetic."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.static import averages, save_static
from sbert_cluster.encoder.tokens import load_tokenizer
from sbert_cluster.errors import ModelError, UsageError
from sbert_cluster.options import EncodeOptions

TEXTS = ["How do I reset my password?", "refund", "", "漢字 and 🙂", "a b " * 900, "Refund!"]


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(open_checkpoint(str(tiny_model)))


@pytest.fixture
def table(tokenizer):
    random = np.random.default_rng(0)
    return random.normal(size=(tokenizer.get_vocab_size(), 24)).astype(np.float32)


def _encode(folder, texts=TEXTS, **options):
    return Encoder.open(EncodeOptions(model=str(folder), **options)).encode(texts)


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


@pytest.mark.parametrize("modules", [1, 2], ids=["alone", "normalised"])
def test_a_folder_of_sentence_transformers(tmp_path, tokenizer, table, modules):
    """Written there, read here: the same directions."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    made = [StaticEmbedding(tokenizer, embedding_weights=table), Normalize()][:modules]
    reference = SentenceTransformer(modules=made, device="cpu")
    reference.save(str(tmp_path / "model"))
    found = _encode(tmp_path / "model")
    np.testing.assert_allclose(found.vectors, _unit(reference.encode(TEXTS)), atol=1e-5)
    assert np.linalg.norm(found.vectors, axis=1)[[0, 1, 3, 4, 5]] == pytest.approx(1)
    assert not found.truncated.any()


def test_a_saved_student_opens_in_sentence_transformers(tmp_path, tokenizer, table):
    from sentence_transformers import SentenceTransformer

    save_static(tmp_path, tokenizer, table, "# Student\n")
    reference = SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(_encode(tmp_path).vectors, reference.encode(TEXTS), atol=1e-5)


def test_a_folder_of_model2vec(tmp_path, tokenizer, table):
    """Tokens share vectors and have weights; unknown tokens do not count."""
    random = np.random.default_rng(1)
    mapping = random.integers(0, 50, len(table))
    weights = random.random(len(table)).astype(np.float32)
    tensors = {"embeddings": table[:50].astype(np.float16), "mapping": mapping, "weights": weights}
    save_file(tensors, tmp_path / "model.safetensors")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"model_type": "model2vec", "normalize": True, "max_length": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    unknown = tokenizer.token_to_id("[UNK]")
    wanted = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:100]
        known = [i for i in ids if i != unknown]
        wide = tensors["embeddings"].astype(np.float64)[mapping[known]]
        wanted.append((wide * weights[known][:, None]).sum(0))
    found = _encode(tmp_path)
    np.testing.assert_allclose(found.vectors, _unit(np.array(wanted)), atol=1e-6)
    assert found.truncated.tolist() == [False] * 4 + [True, False]


@pytest.mark.parametrize("header", ["", "4 3\n"], ids=["GloVe", "word2vec"])
def test_a_text_file_of_word_vectors(tmp_path, header):
    path = tmp_path / "words.txt"
    path.write_text(header + "cat 1 0 0\ndog 0 1 0\n, 0 0 1\ncat 9 9 9\n", encoding="utf-8")
    found = _encode(path, ["cat dog", "Cat, cat", "zebra", "dog zebra"])
    wanted = np.array([[1, 1, 0], [2, 0, 1], [0, 0, 0], [0, 1, 0]], np.float32)
    np.testing.assert_allclose(found.vectors, _unit(wanted), atol=1e-6)


def test_word_vectors_with_capitals_keep_them(tmp_path):
    path = tmp_path / "words.vec"
    path.write_text("Cat 1 0\ncat 0 1\n", encoding="utf-8")
    np.testing.assert_allclose(_encode(path, ["Cat", "cat"]).vectors, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("content", ["", "cat 1 x\n", "cat 1 2\ndog 1\n"])
def test_other_text_files_are_refused(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="no word vectors"):
        _encode(path)


def test_a_folder_without_a_table_is_refused(tmp_path, tokenizer):
    save_file({"other": np.ones((2, 2), np.float32)}, tmp_path / "model.safetensors")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="no table of token vectors"):
        open_checkpoint(str(tmp_path))


def test_nothing_is_cached_and_dimensions_can_be_kept(tmp_path, tokenizer, table):
    folder, cache = tmp_path / "model", tmp_path / "cache"
    folder.mkdir()
    save_static(folder, tokenizer, table, "")
    whole = _encode(folder, cache_dir=cache).vectors
    short = _encode(folder, cache_dir=cache, dimensions=5).vectors
    np.testing.assert_allclose(short, _unit(whole[:, :5]), atol=1e-6)
    assert not cache.exists() or not list(cache.glob("*.sqlite"))
    with pytest.raises(UsageError, match="more than the 24"):
        _encode(folder, dimensions=25)


def test_another_table_is_another_model(tmp_path, tokenizer, table):
    keys = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_static(folder, tokenizer, table + number, "")
        keys.add(open_checkpoint(str(folder)).fingerprint.key)
    assert len(keys) == 2


def test_bags_are_taken_in_any_order_and_joined():
    bags = Bags.of([[1, 2], [], [0, 0, 1]])
    taken = bags.take(np.array([2, 0, 1]))
    assert taken.numbers.tolist() == [0, 0, 1, 1, 2]
    assert taken.starts.tolist() == [0, 3, 5, 5]
    joined = Bags.joined([bags, taken])
    assert joined.numbers.tolist() == [1, 2, 0, 0, 1, 0, 0, 1, 1, 2]
    assert joined.starts.tolist() == [0, 2, 2, 5, 8, 10, 10]
    assert bags.counts(4).tolist() == [2, 2, 1, 0]
    table = np.array([[1, 0], [0, 1], [0, 3]], np.float32)
    wanted = _unit(np.array([[0, 4], [0, 0], [2, 1]], np.float32))
    np.testing.assert_allclose(averages(table, bags), wanted, atol=1e-6)


def test_the_tokens_of_a_student_are_the_texts_own(tiny_model, tokenizer):
    """Without special tokens, without the prompt, and cut where the model cuts."""
    encoder = Encoder.open(EncodeOptions(model=str(tiny_model), prompt="query: "))
    bags, long = encoder.bags(TEXTS)
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    for row in (0, 1, 2, 3, 5):
        assert bags.numbers[bags.starts[row] : bags.starts[row + 1]].tolist() == plain[row]
    assert long.tolist() == [False] * 4 + [True, False]
    assert plain[4][:20] == bags.numbers[bags.starts[4] :][:20].tolist()


def test_the_vocabulary_read_alone_is_each_token_encoded(tiny_model, tokenizer):
    encoder = Encoder.open(EncodeOptions(model=str(tiny_model), use_cache=False))
    vocabulary = encoder.vocabulary()
    words = ["password", "refund", "the"]
    rows = [tokenizer.token_to_id(word) for word in words]
    assert None not in rows
    np.testing.assert_allclose(vocabulary[rows], encoder.encode(words).vectors, atol=1e-5)
