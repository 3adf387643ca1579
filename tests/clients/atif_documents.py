#!/usr/bin/env python3
"""Writes tests/fixtures/atif: documents of our own input, as two packages write ATIF.

    pip install atif==1.8.0 nvidia-nat-atif==1.9.0
    python tests/clients/atif_documents.py tests/fixtures/atif
"""
import json
import sys
from pathlib import Path

import atif
from nat import atif as nat

DAY = "2026-03-02T09:00:"


def subagents():
    """Version 1.8: media, a subagent within, one elsewhere, copied context, a step without a model, an observation of the system."""
    child = atif.Trajectory(
        schema_version="ATIF-v1.8", trajectory_id="scout", agent=atif.Agent(name="scout", version="0.1", model_name="claude-haiku-4-5"),
        steps=[
            atif.Step(step_id=1, source="user", timestamp=DAY + "12Z", message="Find the colour of the boat."),
            atif.Step(step_id=2, source="agent", timestamp=DAY + "14Z", message="It is green.",
                      metrics=atif.Metrics(prompt_tokens=40, completion_tokens=5)),
        ])
    return atif.Trajectory(
        schema_version="ATIF-v1.8", session_id="boats", trajectory_id="captain", notes="made by hand",
        agent=atif.Agent(name="captain", version="2.0", model_name="gpt-5", tool_definitions=[
            {"type": "function", "function": {"name": "ask_scout", "parameters": {"type": "object"}}}]),
        subagent_trajectories=[child],
        steps=[
            atif.Step(step_id=1, source="system", message="You command a boat.", timestamp=DAY + "00Z"),
            atif.Step(step_id=2, source="user", timestamp=DAY + "01Z", message="Yesterday's question", is_copied_context=True),
            atif.Step(step_id=3, source="agent", timestamp=DAY + "02Z", message="Yesterday's answer", is_copied_context=True,
                      metrics=atif.Metrics(prompt_tokens=1000, completion_tokens=1000, cost_usd=9.0)),
            atif.Step(step_id=4, source="user", timestamp=DAY + "10Z", message=[
                atif.ContentPart(type="text", text="What colour is this boat?"),
                atif.ContentPart(type="image", source=atif.ImageSource(media_type="image/png", path="images/boat.png")),
                atif.ContentPart(type="audio", source=atif.AudioSource(media_type="audio/mp3", path="audio/question.mp3", duration_sec=2.5)),
            ]),
            atif.Step(step_id=5, source="agent", timestamp=DAY + "11Z", message="", reasoning_content="The scout is nearer.",
                      reasoning_effort="high",
                      tool_calls=[atif.ToolCall(tool_call_id="call-1", function_name="ask_scout", arguments={"who": "scout", "n": 1})],
                      observation=atif.Observation(results=[
                          atif.ObservationResult(source_call_id="call-1", content="It is green.", subagent_trajectory_ref=[
                              atif.SubagentTrajectoryRef(trajectory_id="scout")]),
                          atif.ObservationResult(subagent_trajectory_ref=[
                              atif.SubagentTrajectoryRef(trajectory_path="s3://runs/lookout.json")])]),
                      metrics=atif.Metrics(prompt_tokens=100, completion_tokens=20, cached_tokens=60, cost_usd=0.0015,
                                           prompt_token_ids=[1, 2, 3], logprobs=[-0.1])),
            atif.Step(step_id=6, source="system", timestamp=DAY + "15Z", message="The wind turns.", observation=atif.Observation(
                results=[atif.ObservationResult(content="north-west")])),
            atif.Step(step_id=7, source="agent", timestamp=DAY + "16Z", message="", llm_call_count=0,
                      tool_calls=[atif.ToolCall(tool_call_id="call-2", function_name="hoist", arguments={})],
                      observation=atif.Observation(results=[atif.ObservationResult(source_call_id="call-2", content="[error] the rope is torn")])),
            atif.Step(step_id=8, source="agent", timestamp=DAY + "18Z", message="The boat is green.",
                      metrics=atif.Metrics(prompt_tokens=150, completion_tokens=10)),
        ],
        final_metrics=atif.FinalMetrics(total_prompt_tokens=250, total_completion_tokens=30, total_cost_usd=0.004, total_steps=8),
        extra={"verifier_result": {"rewards": {"reward": 0.5, "finished": True, "verdict": "good enough"}}},
    ).to_json_dict()


def nemo():
    """Version 1.7 as the NeMo Agent Toolkit writes it: the times of calls are beside the steps; no session."""
    steps = [
        nat.Step(step_id=1, source="user", message="Add 2 and 3.", timestamp=DAY + "30+00:00"),
        nat.Step(step_id=2, source="agent", message="", timestamp=DAY + "33+00:00", model_name="nvidia/nemotron",
                 tool_calls=[nat.ToolCall(tool_call_id="c", function_name="calculator__add", arguments={"a": 2, "b": 3})],
                 observation=nat.Observation(results=[nat.ObservationResult(source_call_id="c", content="5")]),
                 metrics=nat.Metrics(prompt_tokens=12, completion_tokens=7),
                 extra={"invocation": {"start_timestamp": 1772442031.5, "end_timestamp": 1772442033.0, "status": "completed"}}),
        nat.Step(step_id=3, source="agent", message="5", timestamp=DAY + "34+00:00"),
    ]
    made = nat.Trajectory(schema_version="ATIF-v1.7", trajectory_id="sum", steps=steps,
                          agent=nat.Agent(name="calculator", version="1.0", model_name="nvidia/nemotron"),
                          final_metrics=nat.FinalMetrics(total_cost_usd=0.25))
    return made.to_json_dict()


def first():
    """What version 1.0 had, and no time at all."""
    return atif.Trajectory(
        schema_version="ATIF-v1.0", session_id="plain", agent=atif.Agent(name="echo", version="1"),
        steps=[atif.Step(step_id=1, source="user", message="hello"), atif.Step(step_id=2, source="agent", message="hello")],
        final_metrics=atif.FinalMetrics(total_prompt_tokens=3, total_completion_tokens=1),
    ).to_json_dict()


for name, made in {"subagents-1.8": subagents(), "nemo-1.7": nemo(), "first-1.0": first()}.items():
    Path(sys.argv[1], name + ".json").write_text(json.dumps(made, indent=1) + "\n")
