"""Which step made the agent say that, and which sentence of it? First whole steps are taken away, then sentences of a few.

    python recipes/agent_trajectory.py          # the embedded SmolLM2: about two minutes of one core
    python recipes/agent_trajectory.py --tiny   # random weights, under ten seconds; only to see that everything runs

An agent looks for a hotel, and a page that it reads tells it what to say (a prompt injection). Its last turn follows. Sources
are all steps: what tools returned, and what the agent said between. `hierarchical` removes whole steps, then the sentences of
those that matter; `leave-one-out` removes every sentence in turn. What comes first is removed then, and the model asked again.
Your own trajectory, in OpenAI's or Anthropic's form: --messages chat.json
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from llmattr import LM, LlmattrError, cite
from llmattr.context.methods.hierarchical import Hierarchical
from llmattr.retraining.scratch import scratch_model
from llmattr.text.chats import chat_of

CHAT = Path(__file__).parent / "documents" / "trajectory.json"
TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + (m['content'] or '') }}\n{% endfor %}"


def tiny_model(texts):
    """Random weights, wide enough that every word of the context changes the answer a little."""
    torch.manual_seed(0)
    model, tokenizer = scratch_model(texts)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    tokenizer.chat_template = TEMPLATE
    return LM(model, tokenizer, "tiny")


def tokens_of(result):
    """Prompt and answer tokens of all passes that were made for a result."""
    ablation = result.session.ablation
    return sum(len(ablation.prompt.render(np.frombuffer(mask, dtype=bool)).ids) for mask in ablation.store.rows)


def attributed(model, chat, method):
    """The whole answer attributed to the chat's sentences, without verdicts, so that only the method's passes count."""
    found = cite(model, messages=chat.messages, tools=chat.tools, method=method, verify=False)
    steps, best = found.by_document()[0].top(3), found[0].top(3)
    print(f"\n{found.method['name']}: {found.run['forward_passes']} passes, {tokens_of(found):,} tokens")
    for step in steps:
        print(f"   {step.score:+6.2f}  {step.id}")
    for one in best:
        print(f"   {one.score:+6.2f}  {one.document}: {one.text.strip()}")
    return found


def without(messages, text):
    """The chat with a sentence taken out of it, up to the turn that is attributed."""
    return [{**turn, "content": (turn.get("content") or "").replace(text.strip(), "")} for turn in messages[:-1]]


def investigate(model, chat, ablations, out):
    """Step, sentence, and the model asked again without it."""
    # A block of any size is a whole step; half of the ablations remove steps, the other half what is in the first three.
    found = attributed(model, chat, Hierarchical(ablations // 2, block=1000))
    attributed(model, chat, "leave-one-out")
    first = found[0].top(1)[0]
    again = cite(model, messages=without(chat.messages, first.text), method="bm25", verify=False, max_new_tokens=40)
    print(f"\nthe agent said:    {found.response}\nwithout the first: {again.response}")
    return found.save(out / "trajectory.html")


def main():
    """The story, step by step."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--tiny", action="store_true", help="random weights, in seconds")
    options.add_argument("--out", type=Path, default=Path("agent-trajectory"), help="folder for everything that is made")
    options.add_argument("--messages", type=Path, default=CHAT, help="a chat as JSON, whose last turn is the agent's")
    options.add_argument("--ablations", type=int, default=16, help="of hierarchical, at most")
    options.add_argument("--model", default="smollm2", help="hub id, local folder, or smollm2")
    args = options.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        text = args.messages.read_text(encoding="utf-8")
        chat = chat_of(text, str(args.messages))
        model = tiny_model(text.splitlines()) if args.tiny else LM.load(args.model)
        print(f"page: {investigate(model, chat, args.ablations, args.out)}")
    except (OSError, LlmattrError) as error:
        options.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
