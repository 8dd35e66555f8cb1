"""How the chat templates of ten families of models are built: their control flow in few words, with our own texts.

`SAID[name]` finds the assistant's turns in a rendering, from what opens a turn to what ends it.
"""

_JSON = "{'name': f.name, 'arguments': f.arguments} | tojson"
_IM = "{{ '<|im_start|>' + m.role + '\n' }}"

TEMPLATES = {
    "chatml": "{% for m in messages %}" + _IM + "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama 3": "{{ '<|begin|>' }}{% for m in messages %}{% set role = 'ipython' if m.role == 'tool' else m.role %}"
    "{{ '<|start|>' + role + '<|end_header|>\n\n' }}{% if m.tool_calls %}{% set f = m.tool_calls[0].function %}"
    "{{ {'name': f.name, 'parameters': f.arguments} | tojson + '<|eot|>' }}"
    "{% else %}{{ m.content | trim + '<|eot|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end_header|>\n\n' }}{% endif %}",
    "qwen 2.5": "{% if tools %}{{ '<|im_start|>system\n# Tools\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}{% for m in messages %}{% if m.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% elif m.tool_calls %}{{ '<|im_start|>assistant' }}{% if m.content %}{{ '\n' + m.content }}{% endif %}"
    "{% for c in m.tool_calls %}{% set f = c.function %}"
    "{{ '\n<tool_call>\n' + (" + _JSON + ") + '\n</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% else %}" + _IM + "{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # the reasoning of turns before the last question is dropped; in the last turn there is one, if only an empty one
    "qwen 3": "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}{% elif m.role == 'assistant' %}"
    "{% set c = m.content if m.content is string else '' %}{% set r = m.reasoning_content or '' %}"
    "{% if '</think>' in c %}{% set r = c.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > ns.last and (loop.last or r) %}{{ '<think>\n' + r.strip('\n') + '\n</think>\n\n' }}{% endif %}{{ c }}"
    "{% for t in m.tool_calls or [] %}{% set f = t.function %}{{ ('\n' if c or not loop.first else '') + '<tool_call>\n'"
    " + (" + _JSON + ") + '\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% else %}" + _IM + "{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # no system turn: it goes before the first question
    "gemma 3": "{{ '<bos>' }}{% set first = '' %}"
    "{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (first if loop.first else '')"
    " + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    # nothing asks for an answer; the tools stand before the last question only
    "mistral": "{{ '<s>' }}{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% if tools and loop.index0 == ns.last %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{{ '[INST]' + m.content + '[/INST]' }}{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}"
    "{% elif m.tool_calls %}{% set f = m.tool_calls[0].function %}{{ '[TOOL_CALLS][' + (" + _JSON + ") + ']</s>' }}"
    "{% elif m.role == 'assistant' %}{{ m.content + '</s>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "phi": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}",
    "smollm2": "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "{{ '<|im_start|>system\nYou are of use.<|im_end|>\n' }}{% endif %}" + _IM + "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # arguments of calls must be JSON text, and what asks for an answer opens a reasoning
    "deepseek": "{{ '<bos>' }}{% for m in messages %}{% if m.role == 'user' %}{{ '<User>' + m.content }}"
    "{% elif m.role == 'assistant' and m.tool_calls is defined and m.tool_calls is not none %}"
    "{% set f = m.tool_calls[0].function %}"
    "{{ '<Assistant><calls><call>' + f.name + '\n```json\n' + f.arguments + '\n```</call></calls><eos>' }}"
    "{% elif m.role == 'assistant' %}{{ '<Assistant>' + m.content.split('</think>')[-1] + '<eos>' }}"
    "{% elif m.role == 'tool' %}{{ '<outputs>' + m.content + '</outputs>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<Assistant><think>\n' }}{% endif %}",
    "zephyr": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '</s>' }}{{ '\n' }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}{% endfor %}",
    "olmo": "{{ '<|endoftext|>' }}{% for m in messages %}{% if m.role == 'assistant' and loop.last %}"
    "{{ '<|assistant|>\n' + m.content + '<|endoftext|>' }}{% else %}{{ '<|' + m.role + '|>\n' + m.content + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
}

_THOUGHT = r"(?:<think>\n\n</think>\n\n)?"
_CHATML = r"<\|im_start\|>assistant\n" + _THOUGHT + r"(.*?<\|im_end\|>\n)"
SAID = {
    "chatml": _CHATML,
    "llama 3": r"<\|start\|>assistant<\|end_header\|>\n\n(.*?<\|eot\|>)",
    "qwen 2.5": _CHATML,
    "qwen 3": _CHATML,
    "gemma 3": r"<start_of_turn>model\n(.*?<end_of_turn>\n)",
    "mistral": r"\[/(?:INST|TOOL_RESULTS)\](.*?</s>)",
    "phi": r"<\|assistant\|>\n(.*?<\|end\|>\n)",
    "smollm2": _CHATML,
    "deepseek": r"<Assistant>(.*?<eos>)",
    "zephyr": r"<\|assistant\|>\n(.*?</s>\n)",
    "olmo": r"<\|assistant\|>\n(.*?)(?:\n<\|user|<\|endoftext\|>$)",
}
CALLING = ("llama 3", "qwen 2.5", "qwen 3", "mistral", "deepseek")
