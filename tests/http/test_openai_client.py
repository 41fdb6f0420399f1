"""What the `openai` package sees of learnd."""

import openai
import pytest
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam

from tests.http.conftest import Site

QUESTION = "What is the port of the invoice service?"
CHAT: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


def test_models(site: Site) -> None:
    listed = site.client().models.list().data
    assert [model.id for model in listed] == ["learnd", "learnd@g0", "base"]
    one = site.client().models.retrieve("learnd")
    assert (one.object, one.owned_by) == ("model", "learnd")
    assert one.created > 1_700_000_000


def test_chat_streamed_and_whole_are_the_same(site: Site) -> None:
    create = site.client().chat.completions.create
    whole = create(model="learnd", messages=CHAT, max_tokens=30)
    assert whole.system_fingerprint == "learnd-g0"
    assert whole.choices[0].finish_reason == "length"
    assert whole.choices[0].message.role == "assistant"
    chunks = list(
        create(
            model="learnd",
            messages=CHAT,
            max_tokens=30,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, last = chunks
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {chunk.system_fingerprint for chunk in chunks} == {"learnd-g0"}
    assert pieces[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in pieces[1:])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert text == whole.choices[0].message.content
    assert pieces[-1].choices[0].finish_reason == "length"
    assert (last.choices, last.usage) == ([], whole.usage)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 30
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 30


def test_the_generation_is_in_the_header(site: Site) -> None:
    raw = site.client().chat.completions.with_raw_response
    answer = raw.create(model="base", messages=CHAT)
    assert answer.headers["x-learnd-generation"] == "0"


def test_without_a_limit_the_configured_one_holds(site: Site) -> None:
    answer = site.client().completions.create(model="learnd", prompt="The")
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16


def test_max_completion_tokens_wins(site: Site) -> None:
    answer = site.client().chat.completions.create(
        model="learnd",
        messages=CHAT,
        max_completion_tokens=3,
        max_tokens=9,
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_content_parts_are_joined(site: Site) -> None:
    halves = QUESTION[:9], QUESTION[9:]
    parts: list[ChatCompletionContentPartParam] = [{"type": "text", "text": h} for h in halves]
    create = site.client().chat.completions.create
    in_parts = create(model="learnd", messages=[{"role": "user", "content": parts}])
    in_one = create(model="learnd", messages=CHAT)
    assert in_parts.choices[0].message == in_one.choices[0].message


def test_completions_of_several_prompts(site: Site) -> None:
    create = site.client().completions.create
    both = create(model="learnd", prompt=["The", "Who signs"], max_tokens=5)
    alone = [create(model="learnd", prompt=prompt, max_tokens=5) for prompt in ("The", "Who signs")]
    assert [choice.text for choice in both.choices] == [each.choices[0].text for each in alone]
    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.usage is not None
    assert both.usage.completion_tokens == 10
    streamed = create(model="learnd", prompt=["The", "Who signs"], max_tokens=5, stream=True)
    texts = ["", ""]
    for chunk in streamed:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in both.choices]


def test_sampling_with_a_seed_is_repeatable_and_without_temperature_greedy(site: Site) -> None:
    create = site.client().completions.create

    def sampled(seed: int) -> str:
        return create(model="learnd", prompt="The", temperature=1, seed=seed).choices[0].text

    assert sampled(1) == sampled(1) != sampled(2)
    greedy = {create(model="learnd", prompt="The").choices[0].text for _ in range(2)}
    assert len(greedy) == 1


def test_stop(site: Site) -> None:
    create = site.client().completions.create
    whole = create(model="learnd", prompt="The").choices[0].text
    answer = create(model="learnd", prompt="The", stop=whole[5:8]).choices[0]
    assert (answer.text, answer.finish_reason) == (whole[: whole.find(whole[5:8])], "stop")


@pytest.mark.parametrize("model", ["gpt-4o", "learnd@g7", "/etc/passwd"])
def test_an_unknown_model_is_404_and_tells_the_names(site: Site, model: str) -> None:
    with pytest.raises(openai.NotFoundError, match="known: learnd") as caught:
        site.client().completions.create(model=model, prompt="x")
    assert caught.value.code == "model_not_found"


def test_too_long_a_prompt_is_400_in_a_stream_too(site: Site) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="context has 512") as caught:
            site.client().completions.create(model="learnd", prompt="dog " * 900, stream=stream)
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("n", 2, "only n=1"),
        ("tools", [{"type": "function", "function": {"name": "f"}}], "tools are not supported"),
        ("response_format", {"type": "json_object"}, "only the response format 'text'"),
        ("temperature", -1, "greater than or equal to 0"),
        ("top_p", 0, "greater than 0"),
        ("max_tokens", 0, "greater than or equal to 1"),
        ("seed", 2**70, "seed"),
    ],
)
def test_what_is_not_supported_is_refused_plainly(
    site: Site, field: str, value: object, complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=complaint) as caught:
        site.client().chat.completions.create(
            model="learnd",
            messages=CHAT,
            extra_body={field: value},
        )
    assert caught.value.param == field


def test_unknown_and_harmless_fields_are_ignored(site: Site) -> None:
    answer = site.client().chat.completions.create(
        model="learnd",
        messages=CHAT,
        user="me",
        n=1,
        tools=[],
        response_format={"type": "text"},
        frequency_penalty=0,
        extra_body={"novelty": 1},
    )
    assert answer.choices[0].message.content
