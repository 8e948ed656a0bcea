"""Conversations as LLaVA's data stores them; imported by the tests here."""


def talk(*texts, roles=("human", "gpt")):
    return [{"from": roles[i % 2], "value": text} for i, text in enumerate(texts)]
