"""The tasks that `--demo` sends: three known types, several languages, several ways to write a message. All synthetic."""

from typing import Any

_EN_FR_DE = [{"from": "en", "to": "fr"}, {"from": "en", "to": "de"}]

BLOG_POST = {
    "id": "demo-01", "taskName": "LLM Summarization for Blog Post", "llmTaskType": "summarize", "priority": "high",
    "content": "Our street market turns ten this year. It began with four stalls and a borrowed awning. Today forty growers "
    "sell there every Saturday, and the bakery next door has hired two people because of it.",
    "translationLanguages": _EN_FR_DE, "status": "pending",
}  # fmt: skip
EMAIL = {
    "id": "demo-02", "taskName": "AI Generated Email Content", "llmTaskType": "generate",
    "prompt": "Write a short e-mail that thanks the volunteers of the spring fair and invites them to coffee on Friday.",
    "translationLanguages": [{"from": "en", "to": "es"}], "status": "pending",
}  # fmt: skip
PRODUCT = {
    "id": "demo-03", "taskName": "Translation of Product Description", "llmTaskType": "translate",
    "content": "This lamp is made of recycled glass, dims without a flicker and lasts ten years.",
    "translationLanguages": [{"from": "en", "to": "fr"}, {"from": "en", "to": "ja"}], "status": "pending",
}  # fmt: skip

_AS_TEXT = """{"id": "demo-10", "taskName": "AI Generated Email Content", "llmTaskType": 1, "status": "pending",
  "prompt": "Invite the neighbours to a reading on the roof.", "translationLanguages": [{"from": "en", "to": "pl"}]}"""

MESSAGES: tuple[tuple[Any, ...], ...] = (
    (BLOG_POST,),
    (EMAIL,),
    (PRODUCT,),
    # another text, more languages: the node of demo-01 is used again
    ({"Id": "demo-04", "TaskName": "LLM Summarization for Blog Post", "LlmTaskType": "Summarize",
      "Content": "Der Chor probt seit dem Herbst im alten Bahnhof. Im Mai singt er dort zum ersten Mal vor Publikum.",
      "TranslationLanguages": [{"From": "de", "To": "en"}]},),
    ([{"task_id": "demo-05", "task_name": "Summarize meeting minutes", "llm_task_type": "summarize",
       "content": "Present: nine. The budget was agreed. The roof comes first, then the heating. Next meeting: Monday.",
       "translation_languages": ["en-fr"], "due_date": "2030-01-31"},
      {"task_id": 6, "task_name": "Summarize customer letter", "llm_task_type": "summarize",
       "content": "La livraison est arrivée avec deux jours de retard, mais tout était complet et bien emballé."}],),
    ({"data": {"tasks": [
        {"id": "demo-07", "taskName": "Translate menu card to Italian", "llmTaskType": "translation",
         "content": "Pumpkin soup, fresh bread, apple pie.", "translationLanguages": [{"source": "en", "target": "it"}]},
        {"id": "demo-08", "taskName": "Translation of Product Description", "llmTaskType": "translate",
         "content": "These socks are knitted from wool of the valley.",
         "translationLanguages": [{"sourceLanguage": "en", "targetLanguage": "pt"}]}]}},),
    ("LLMTasks", {"demo-09": {"taskName": "Generate birthday card", "prompt": "Two warm lines for a colleague who turns sixty."}}),
    (_AS_TEXT,),
    ({"context": "LLMTasks", "method": "GET", "path": "/tasks", "timestamp": 1795409857956,
      "data": [{"id": "demo-11", "taskName": "Summarize invoice 4711 (2024-07-27)", "llmTaskType": "summarize",
                "content": "Invoice 4711: 12 chairs at 40, delivery included, due within thirty days."}]},),
    ({"id": "demo-12", "taskName": "Summarize invoice 4712 (2024-07-28)", "llmTaskType": "summarize",
      "content": "Invoice 4712: 3 tables at 90, delivery 15, due within fourteen days."},),
)  # fmt: skip
"""Arguments of one hub call each: 12 tasks in 10 messages. The first three are the example nodes of the contract."""

COUNT = 12
"""How many tasks MESSAGES holds."""
