"""Records in the schemas that task sets are published in; the questions are our own."""

from __future__ import annotations

from typing import Any

GSM8K = {
    "question": "Lena bakes 24 rolls. She sells a third of them and then bakes 1,000 more. How many rolls are there?",
    "answer": "She sells 24 / 3 = <<24/3=8>>8 rolls.\nThere are 24 - 8 + 1000 = <<24-8+1000=1016>>1016 rolls.\n#### 1,016",
}
MATH = {
    "problem": "Write the point $(0,3)$ in polar coordinates $(r,\\theta)$.",
    "solution": "We have $r = 3$, so the answer is $\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}.$",
    "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
    "subject": "Precalculus",
    "level": 2,
    "unique_id": "test/precalculus/1.json",
}
AQUA = {
    "question": "A train covers 90 km in 1.5 hours. What is its speed in km/h?",
    "options": ["A)45", "B)60", "C)75", "D)90", "E)135"],
    "rationale": "Speed = 90 / 1.5 = 60\nAnswer B",
    "correct": "B",
}
COMMONSENSE = {
    "answerKey": "C",
    "id": "0a1b2c",
    "question": {
        "question_concept": "umbrella",
        "choices": [
            {"label": "A", "text": "beach"},
            {"label": "B", "text": "oven"},
            {"label": "C", "text": "rain"},
            {"label": "D", "text": "library"},
            {"label": "E", "text": "desert"},
        ],
        "stem": "What would you open an umbrella against?",
    },
}
COMMONSENSE_HUB = {
    "id": "0a1b2c",
    "question": "What would you open an umbrella against?",
    "question_concept": "umbrella",
    "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["beach", "oven", "rain", "library", "desert"]},
    "answerKey": "C",
}
MMLU_PRO: dict[str, Any] = {
    "question_id": 70,
    "question": "Which organ pumps blood?",
    "options": ["lung", "liver", "heart", "kidney", "N/A", "N/A"],
    "answer": "C",
    "answer_index": 2,
    "cot_content": "",
    "category": "biology",
    "src": "ours",
}
GPQA = {
    "Record ID": "rec0",
    "Question": 'Which of these is a noble gas, "inert" as they say?\n',
    "Correct Answer": "argon\n",
    "Incorrect Answer 1": "nitrogen",
    "Incorrect Answer 2": "chlorine, Cl2",
    "Incorrect Answer 3": "hydrogen",
    "High-level domain": "Chemistry",
    "Subdomain": "Chemistry (general)",
}
