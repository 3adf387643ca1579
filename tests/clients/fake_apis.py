"""Other APIs than chat-completions, without streams: a request in the form of chat-completions, a response in that of the API."""

import json
from types import SimpleNamespace


def of_responses(request):
    """OpenAI's Responses."""
    messages = [{"role": "system", "content": request["instructions"]}] if request.get("instructions") else []
    items = request["input"] if isinstance(request["input"], list) else [{"role": "user", "content": request["input"]}]
    for item in items:
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item["role"], "content": item["content"]})
            case "function_call_output":
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
    tools = [{"type": "function", "function": tool} for tool in request.get("tools", [])]
    return {"model": request["model"], "messages": messages, "tools": tools}


def as_response(body, request):
    """It repeats the request's settings."""
    message, usage = body["choices"][0]["message"], body["usage"]
    output = []
    for call in message.get("tool_calls") or []:
        function = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        output.append({"type": "function_call", "id": f"fc_{call['id']}", "call_id": call["id"], "status": "completed", **function})
    if message["content"]:
        text = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": []}
        output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]})
    return {
        "id": body["id"], "object": "response", "created_at": body["created"], "status": "completed", "model": body["model"],
        "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "error": None, "incomplete_details": None, "metadata": {}, "top_p": 1.0,
        **{name: request.get(name) for name in ["instructions", "tools", "temperature", "max_output_tokens"]},
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"], "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]},
            "total_tokens": usage["total_tokens"],
        },
    }  # fmt: skip


def of_generate_content(request):
    """Gemini's generateContent."""
    messages = []
    for content in request["contents"]:
        text = "".join(part.get("text", "") for part in content["parts"])
        results = [json.dumps(part["functionResponse"]["response"], ensure_ascii=False) for part in content["parts"] if "functionResponse" in part]
        messages.append({"role": "tool" if results else content.get("role", "user"), "content": text + "".join(results)})
    functions = [function for tool in request.get("tools", []) for function in tool.get("functionDeclarations", [])]
    return {"messages": messages, "tools": [{"type": "function", "function": function} for function in functions]}


def as_generated_content(body, _request):
    """Its output lacks the thoughts."""
    message, usage = body["choices"][0]["message"], body["usage"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    parts = [{"functionCall": {"name": call["name"], "args": json.loads(call["arguments"])}} for call in calls]
    if message["content"]:
        parts.append({"text": message["content"]})
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "responseId": body["id"],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {
            "promptTokenCount": usage["prompt_tokens"],
            "candidatesTokenCount": usage["completion_tokens"] - reasoning,
            "thoughtsTokenCount": reasoning,
            "cachedContentTokenCount": usage["prompt_tokens_details"]["cached_tokens"],
            "totalTokenCount": usage["total_tokens"],
        },
    }


# By what the path of a request ends with.
OTHER_APIS = {
    "/responses": SimpleNamespace(request=of_responses, response=as_response),
    ":generateContent": SimpleNamespace(request=of_generate_content, response=as_generated_content),
}
