"""The command line as a user meets it: output, files, exit codes, one clear line for bad input."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from llmattr.cli import main
from llmattr.cli.command import COMMANDS, GROUPS

TEXT = "The canal is long. It has locks.\nIt opened in 1914. Ships pay a toll."


@pytest.fixture
def document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canal.txt").write_text(TEXT, encoding="utf-8")
    return "canal.txt"


@pytest.fixture
def run(tiny_folder, document, capsys):
    """Call `llmattr cite canal.txt --query ... --response ...` with further arguments."""

    def call(*arguments, files=(document,), query="When?", response="It opened in 1914. It has locks."):
        given = ["--query", query] if query is not None else []
        given += ["--response", response] if response is not None else []
        code = main(["cite", *files, *given, "--model", str(tiny_folder), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_answer_sentence_by_sentence_with_its_sources(run):
    code, out, err = run("leave-one-out")
    assert (code, err) == (0, "")
    assert out.startswith("2 sentences: ")
    assert out.index("It opened in 1914.") < out.index("It has locks.") < out.index("\n[1] canal.txt, line 1\n")
    assert "\x1b" not in out  # no colour codes in a pipe
    assert "nats" not in out
    code, told, _ = run("-v")
    assert code == 0
    assert "positive = the source made the sentence likelier" in told
    assert "screening (n_ablations 32, prior alone), " in told


def test_zoom_into_sources_of_one_word_shows_the_answer(run):
    code, out, err = run("--zoom", "--no-verify", "--sources", "words", "leave-one-out")
    assert (code, err) == (0, "")
    assert out.index("It opened in 1914.") < out.index("\n[1] ") < out.index("[1] is one word")


@pytest.mark.parametrize("option", ["--query", "--response", "--template", "--rather-than"])
def test_a_byte_that_is_no_text_is_one_clear_line(run, option):
    code, out, err = run(option, "{context} {query} \udcff")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "is not valid Unicode at character 18" in err


def test_quick_is_the_cheap_method_and_no_other(run):
    code, out, _ = run("--quick", "-v")
    assert code == 0
    assert "\nalone, " in out
    code, _, err = run("--quick", "ridge")
    assert code == 2
    assert "--quick is the method alone: leave ridge out, or --quick" in err


def test_someone_who_waits_has_a_first_look(run, monkeypatch):
    monkeypatch.setattr(sys.modules["llmattr.cli.cite"], "_looks_first", lambda method, how: True)
    code, out, err = run("-v")
    assert code == 0
    assert "That is a first look (alone); better scores follow." in err
    assert "screening (n_ablations 32" in out


def test_cited_sources_name_document_line_and_characters(run):
    _, out, _ = run("-v", "leave-one-out")  # exact scores: something is cited
    assert "[1] canal.txt, line " in out
    assert "characters " in out
    assert "leave-one-out, " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("context-cite", "--n-ablations", "8", "--keep", "0.3", "--alpha", "0.05"),
        ("--n-ablations", "8", "--keep=0.3", "--alpha", "0.05", "context-cite"),
        ("--n-ablations", "8", "context-cite", "--alpha", "0.05", "--top", "2", "--keep", "0.3"),
    ],
)
def test_a_methods_options_stand_anywhere(run, arguments, tmp_path):
    code, out, _ = run(*arguments, "--json", "out.json", "-v")
    assert code == 0
    assert "n_ablations 8, keep 0.3, alpha 0.05" in out
    saved = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert saved["method"]["alpha"] == 0.05
    assert saved["sources"][0] == {
        "id": "canal.txt#0", "text": "The canal is long.", "start": 0, "end": 18, "document": "canal.txt", "group": 0,
        "block": "paragraph", "quotable": True, "metadata": {"path": "canal.txt"},
    }  # fmt: skip


def test_html_and_several_files(run, tmp_path):
    (tmp_path / "two.txt").write_text("\ufeffAnother file. It is short.", encoding="utf-8")
    code, out, _ = run("--html", "page.html", "--sources", "paragraphs", files=("canal.txt", "two.txt"))
    assert code == 0
    assert "HTML page: page.html" in out
    assert "Another file." in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_standard_input_and_a_generated_answer(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    code, out, err = run("-v", "--max-new-tokens", "6", "--n-ablations", "4", files=("-",), response=None)
    assert code == 0
    assert err == "llmattr: note: the answer was cut off at 6 tokens\n"
    assert "screening (n_ablations 4" in out


def test_a_method_name_may_be_the_value_of_an_option(run):
    code, out, _ = run("--n-ablations", "4", "-v", query="context-cite")
    assert code == 0
    assert "n_ablations 4" in out


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ((), {"query": ""}, "the query is empty"),
        ((), {"query": None}, "Missing option '--query'"),
        ((), {"files": ()}, "Missing argument 'FILE"),
        ((), {"files": ("no.txt",)}, "'no.txt' does not exist"),
        ((), {"files": ("folder",)}, "there is no file in the folder 'folder'"),
        ((), {"files": ("*.md",)}, "no file matches the pattern '*.md'"),
        ((), {"files": ("empty.txt",)}, "'empty.txt' is empty"),
        ((), {"files": ("binary.bin",)}, "'binary.bin' is binary"),
        ((), {"files": ("half.txt",)}, "'half.txt' is not UTF-8 text: at byte 3 it has half a surrogate pair"),
        ((), {"response": " "}, "the response is empty"),
        (("contxt-cite",), {}, "'contxt-cite' does not exist; did you mean 'context-cite'?"),
        (("--n-ablations", "1"), {}, "n_ablations must be 2 or more"),
        (("--n-ablations", "many"), {}, "'many' is not a valid integer"),
        (("context-cite", "--keep", "1"), {}, "keep must lie between 0 and 1"),
        (("--modle", "x"), {}, "No such option"),
        (("--alpha", "1"), {}, "No such option '--alpha' of screening; name a method that has it: context-cite, ridge"),
        (("leave-one-out", "--alphas", "1"), {}, "No such option"),
        (("--model", "smolm2"), {}, "cannot load the model 'smolm2'; did you mean 'smollm2'?"),
        (("--sources", "sentance"), {}, "'sentance' is not one of"),
        (("--template", "{query}"), {}, "has no {context}"),
        (("--html", "no/such/page.html"), {}, "cannot write 'no/such/page.html'"),
        (("--json", "canal.txt"), {}, "cannot write 'canal.txt': it is an input"),
        (("--json", "out", "--html", "out"), {}, "cannot write 'out': it is an input or another output"),
        (("--device", "nowhere"), {}, "cannot use the device 'nowhere'"),
        (("ridge", "--alpha", "-1"), {}, "alpha must be 0 or more"),
        (("--seed", "5000000000"), {}, "seed must lie between"),
        (("--model", ""), {}, "the model must be a name"),
        ((), {"files": ("-", "-")}, "standard input (-) is given twice"),
        ((), {"query": "\udcff"}, "the query is not valid Unicode"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(run, tmp_path, arguments, given, message):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.bin").write_bytes(b"a\0b")
    (tmp_path / "half.txt").write_bytes("caf\ud83d".encode("utf-8", "surrogatepass"))
    (tmp_path / "folder").mkdir()
    code, out, err = run(*arguments, **given)
    assert (code, out) == (2, "")
    assert err.startswith("llmattr: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_equals_sign_before_the_method(run):
    code, out, _ = run("--top=2", "--verbose", "leave-one-out")
    assert code == 0
    assert "leave-one-out, " in out


def test_a_link_is_followed_and_a_pipe_written_to(run, tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    assert run("--json", "link.json", "--html", "/dev/null")[0] == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["response"]


def test_control_characters_do_not_reach_the_terminal(run, tmp_path):
    (tmp_path / "evil.txt").write_text("A \x1b[2J sentence. Another \x1b]0;owned\a one. A third.")
    code, out, _ = run("leave-one-out", files=("evil.txt",), response="It \x1b[2J opened. So.")
    assert code == 0
    assert "\x1b" not in out
    assert "\a" not in out


def test_one_source_is_noted(run, tmp_path):
    (tmp_path / "one.txt").write_text("One sentence.")
    code, out, err = run("-v", files=("one.txt",))
    assert code == 0
    assert err.startswith("llmattr: note: there is only one source")
    assert "leave-one-out, " in out


def test_a_prompt_longer_than_the_window(run, tmp_path):
    (tmp_path / "long.txt").write_text("A sentence of some length. " * 400)
    code, _, err = run(files=("long.txt",))
    assert code == 2
    assert "more than the window of 2048 tokens" in err
    assert "shorten the context" in err


@pytest.fixture
def facts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": f"The capital of {land} is ", "completion": city} for land, city in (("France", "Paris"), ("Peru", "Lima"))
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "poor.jsonl").write_text(json.dumps({"txt": "a"}))
    return tmp_path


@pytest.mark.parametrize("method", [(), ("--strict", "trak", "--ridge", "0.2")])
def test_trace_makes_an_index_and_asks_it(facts, tiny_folder, capsys, method):
    common = ["--model", str(tiny_folder), "--data", "facts.jsonl", "--out", "idx", "--dim", "64"]
    assert main(["trace", "index", *common, *method]) == 0
    assert "2 rows of 64 numbers in idx" in capsys.readouterr().out
    assert main(["trace", "index", *common, *method]) == 0  # again: nothing is left to do
    assert (
        main(["trace", "query", "idx", "--prompt", "The capital of Peru is ", "--completion", "Lima", "--json", "t.json"]) == 0
    )
    out = capsys.readouterr().out
    assert "  1  +" in out
    assert "row 1  The capital of Peru is Lima" in out
    saved = json.loads((facts / "t.json").read_text())
    assert [source["id"] for source in saved["sources"]] == ["0", "1"]
    assert saved["targets"][0]["index"][0] == 1
    assert main(["trace", "query", "idx", "--queries", "facts.jsonl", "--top", "1", "--html", "t.html"]) == 0
    assert "The capital of France is Paris" in (facts / "t.html").read_text()


def test_trace_tokens_self_append_and_checkpoints(facts, tiny_folder, capsys):
    asked = ["--prompt", "The capital of Peru is ", "--completion", "Lima."]
    common = ["--model", str(tiny_folder), "--dim", "64", "--seed", "3"]
    assert main(["trace", "index", *common, "--data", "facts.jsonl", "--out", "idx", "grad-dot"]) == 0
    (facts / "more.jsonl").write_text('{"prompt": "The capital of Mali is ", "completion": "Bamako."}')
    assert main(["trace", "index", *common, "--data", "more.jsonl", "--out", "idx", "--append", "grad-dot"]) == 0
    assert "3 rows of 64 numbers in idx" in capsys.readouterr().out
    assert main(["trace", "query", "idx", *asked, "--tokens", "--html", "tokens.html", "--json", "tokens.json"]) == 0
    saved = json.loads((facts / "tokens.json").read_text())
    assert "".join(target["text"] for target in saved["targets"]) == saved["response"] == "Lima."
    assert main(["trace", "query", "idx", *asked, "--rerank", "2"]) == 0
    capsys.readouterr()
    assert main(["trace", "self", "idx", "--top", "2", "--json", "self.json"]) == 0
    out = capsys.readouterr().out
    assert "the row itself" in out
    assert out.count("  row ") == 2
    twice = ["--checkpoints", str(tiny_folder), "--checkpoints", str(tiny_folder), "--learning-rates", "0.1,0.2"]
    assert main(["trace", "index", *common, "--data", "facts.jsonl", "--out", "two", *twice, "tracin"]) == 0
    assert main(["trace", "query", "two", *asked]) == 0
    assert main(["trace", "index", *common, "--data", "facts.jsonl", "--out", "j", "--learning-rates", "x", "tracin"]) == 2
    assert "numbers with commas between are wanted" in capsys.readouterr().err


def test_trace_through_the_checkpoints_of_a_trainer(facts, tiny_folder, capsys):
    """Steps by the folders' names, rates by their logs: .1 + .2 and .3 + .4 + .5, of steps on a line between logged ones."""
    for step in (2, 5):
        shutil.copytree(tiny_folder, facts / "run" / f"checkpoint-{step}")
        log = [{"step": at, "learning_rate": 0.1 * at} for at in (1, 2, 5) if at <= step]
        (facts / "run" / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    common = ["--data", "facts.jsonl", "--modules", "down_proj"]
    assert main(["trace", "index", *common, "--out", "s", "--checkpoints", "run", "source", "--fit-rows", "2"]) == 0
    spans = [json.loads((facts / "s" / f"checkpoint-{number}" / "run.json").read_text())["span"] for number in (0, 1)]
    assert spans == pytest.approx([0.3, 1.2])
    asked = ["--prompt", "The capital of France is ", "--completion", "Paris."]
    capsys.readouterr()
    assert main(["trace", "query", "s", *asked, "--top", "1"]) == 0
    assert "The capital of France is Paris" in capsys.readouterr().out
    assert main(["trace", "index", *common, "--out", "t", "--checkpoints", "run", "source", "--optimizer", "adam"]) == 2
    assert "there is no optimiser state" in capsys.readouterr().err


def test_rows_by_other_names_and_of_a_split(facts, tiny_folder, capsys):
    """`--split` and `--columns` at each command that reads rows; the index says how its rows were read."""
    import datasets

    table = datasets.Dataset.from_list(
        [{"q": "The capital of Peru is ", "a": "Lima."}, {"q": "Of Mali it is ", "a": "Bamako."}]
    )
    datasets.DatasetDict(train=table, test=table.select([0])).save_to_disk(str(facts / "saved"))
    table.select([0]).to_csv(facts / "asked.csv")
    model, columns = ["--model", str(tiny_folder)], ["--columns", "prompt={q},completion=a"]
    assert main(["trace", "index", *model, "--data", "saved", *columns, "--out", "idx", "bm25"]) == 2
    assert "has the splits train, test: say which (--split)" in capsys.readouterr().err
    assert main(["trace", "index", *model, "--data", "saved", *columns, "--split", "train", "--out", "idx", "bm25"]) == 0
    (part,) = json.loads((facts / "idx" / "run.json").read_text())["parts"]
    assert (part["split"], part["columns"]) == ("train", {"prompt": "{q}", "completion": "a"})
    assert main(["trace", "query", "idx", "--queries", "asked.csv", *columns]) == 0
    assert main(["trace", "query", "idx", "--completion", "Lima.", *columns]) == 2
    assert "--columns would be of no use: they are of a file (--queries)" in capsys.readouterr().err
    runs = ["--data", "saved", "--split", "train", *columns, "--queries", "asked.csv", "--out", "runs", "--steps", "2"]
    assert main(["trace", "leave-one-out", *runs]) == 0
    assert main(["trace", "index", *model, "--data", "asked.csv", "--columns", "question", "--out", "j", "bm25"]) == 2
    assert "columns are like prompt=question,completion=answer" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["ekfac", "bm25", "rep-sim", "stream"])
def test_trace_methods_without_rows_of_gradients(facts, tiny_folder, capsys, method):
    common = ["--model", str(tiny_folder), "--data", "facts.jsonl", "--out", "idx"]
    assert main(["trace", "index", *common, method]) == 0
    assert main(["trace", "query", "idx", "--prompt", "The capital of Peru is ", "--completion", "Lima."]) == 0
    out = capsys.readouterr().out
    assert "row 1  The capital of Peru is Lima" in out
    assert ("the model was not asked" in out) == (method in ("bm25", "rep-sim"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", "nope", "--completion", "x"), "'nope' is no index"),
        (("query", "nope"), "give --completion"),
        (("self", "nope"), "'nope' is no index"),
        (("query", "nope", "--completion", ""), "the completion is empty"),
        (("index", "--data", "facts.jsonl", "--out", "i", "--append", "--rows", "int4"), "int4"),
        (("index", "--data", "facts.jsonl", "--out", "i", "tark"), "unknown method 'tark'; did you mean 'trak'?"),
        (("index", "--data", "poor.jsonl", "--out", "i", "--model", "MODEL"), "the data has the columns txt"),
        (("index", "--data", "none.jsonl", "--out", "i", "--model", "MODEL"), "there is no file 'none.jsonl'"),
        (("index", "--data", "facts.jsonl", "--out", "i", "--model", "MODEL", "--dim", "0"), "dim must be 1 or more"),
        (("index", "--data", "facts.jsonl", "--out", "i", "--model", "MODEL", "--modules", "zz"), "no layer has a name"),
        (("index", "--data", "facts.jsonl", "--out", "i", "ekfac", "--damping", "-1"), "damping must be 0 or more"),
        (("index", "--data", "facts.jsonl", "--out", "i", "--strict", "tark"), "unknown method 'tark'"),
    ],
)
def test_bad_trace_input_is_one_clear_line(facts, tiny_folder, capsys, arguments, message):
    assert main(["trace", *(str(tiny_folder) if a == "MODEL" else a for a in arguments)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def cli(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "llmattr", *arguments], capture_output=True, text=True, **options)


def test_help_loads_no_torch():
    code = "import sys, llmattr, llmattr.cli as c; c.main(['cite', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Options of screening" in done.stdout
    assert "leave-one-out" in done.stdout


def test_a_check_by_words_loads_nothing_heavy(tmp_path):
    (tmp_path / "a.txt").write_text("The canal opened in 1914 [1]. It has locks.")
    (tmp_path / "d.txt").write_text("The canal opened in 1914. It has locks.")
    names = ("torch", "scipy", "sklearn", "pandas", "transformers", "numpy.random", "py3langid")
    heavy = f"[m for m in {names} if m in sys.modules]"
    asked = "import sys, llmattr.cli; llmattr.cli.main('check a.txt --documents d.txt --quick'.split())"
    code = f"{asked}; print({heavy}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "[]\n"
    assert "1 of 1 markers hold" in done.stdout


def test_help_shows_every_command_once_under_what_it_is_for():
    sections = cli("--help").stdout.split("Options:")[1]
    shown = re.findall(r"^  ([a-z][\w-]*)  ", sections, re.MULTILINE)
    assert sorted(shown) == sorted(COMMANDS)
    assert [line[:-1] for line in sections.splitlines() if line.endswith(":")] == list(GROUPS)


def test_help_of_a_method_and_no_arguments():
    assert "Options of leave-one-out" not in cli("cite", "leave-one-out", "--help").stdout  # it has none
    assert "Usage: llmattr" in cli("--help").stdout
    bare = cli()
    assert (bare.returncode, "Traceback" in bare.stderr) == (2, False)
    assert "Options of trak" in cli("trace", "index", "trak", "--help").stdout
    assert cli("--version").stdout.startswith("llmattr, version ")


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line(tiny_folder, tmp_path):
    (tmp_path / "canal.txt").write_text(" ".join(f"Sentence number {i} of many." for i in range(30)))
    arguments = ["cite", "canal.txt", "--query", "q", "--response", "It is.", "--model", str(tiny_folder)]
    command = [sys.executable, "-m", "llmattr", *arguments, "--n-ablations", "20000"]

    def heed():  # a test run in the background ignores Ctrl-C, and its children would too
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed, **pipes)
    time.sleep(12)  # past the imports, among the ablations
    assert running.poll() is None
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (out, err.strip()) == ("", "llmattr: stopped")
    # Interrupted inside an exec() of some import, Python ends itself by the signal, which a shell calls 130 as well.
    assert running.returncode in (130, -signal.SIGINT)


def test_heads_are_fitted_once_and_used(tiny_folder, tmp_path, capsys):
    row = {"context": "The canal is long. It has locks. It opened in 1914.", "query": "When?", "response": "It opened in 1914."}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "canal.txt").write_text(row["context"])
    fit = ["fit-heads", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "heads.json"), "--model", str(tiny_folder),
           "--n-ablations", "8"]  # fmt: skip
    assert main(fit) == 0
    use = [
        "cite",
        str(tmp_path / "canal.txt"),
        "--query",
        "When?",
        "--response",
        row["response"],
        "--model",
        str(tiny_folder),
        "at2",
    ]
    assert main([*use, "--weights", str(tmp_path / "heads.json")]) == 0
    assert "at2 (weights" in capsys.readouterr().out
    (tmp_path / "rows.jsonl").write_text("no json\n")
    assert main(fit) == 2
    assert "line 1 is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["context-cite", "--n-ablations", "auto"], "stopped"),
        (["--n-ablations", "many"], "'many' is not a valid integer"),
        (["ridge", "--alpha", "much"], "'much' is not a valid float"),
        (["--n-ablations", "1"], "n_ablations must be 2 or more"),
        (["--prior", "guess"], "'guess' is not one of"),
    ],
)
def test_a_number_or_a_word(tiny_folder, tmp_path, capsys, options, said):
    (tmp_path / "canal.txt").write_text("The canal is long. It has locks. It opened in 1914.")
    command = ["cite", str(tmp_path / "canal.txt"), "--query", "When?", "--response", "In 1914.", "--model", str(tiny_folder)]
    code = main([*command, *options, "--json", str(tmp_path / "out.json")])
    if code == 0:
        assert said in json.loads((tmp_path / "out.json").read_text())["run"]
    else:
        assert said in capsys.readouterr().err


def test_another_answer_and_words(tiny_folder, tmp_path, capsys):
    (tmp_path / "canal.txt").write_text("The canal is long. It has locks. It opened in 1914.")
    command = ["cite", str(tmp_path / "canal.txt"), "--query", "When?", "--response", "In 1914.", "--model", str(tiny_folder)]
    assert main([*command, "--rather-than", "In 1889.", "leave-one-out"]) == 0
    assert "rather than: In 1889." in capsys.readouterr().out
    assert main([*command, "--zoom", "leave-one-out"]) == 0
    assert "Words inside the first citation" in capsys.readouterr().out
    assert main([*command, "--zoom", "--sources", "documents", "leave-one-out"]) == 0
    _, shown = capsys.readouterr().out.split("Words inside the first citation of each sentence:\n")
    assert re.match(r'  \[1\] "(The canal is long|It has locks|It opened in 1914)\." [+-]\d', shown)
