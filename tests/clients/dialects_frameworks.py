"""The conversation of dialects.py through frameworks that run the agent themselves, unmodified.

    dialects_frameworks.py drive FRAMEWORK ENDPOINT     sends what the framework exports to ENDPOINT (.../v1/traces)
    dialects_frameworks.py record FRAMEWORK FILE        keeps the same bytes in FILE instead
    dialects_frameworks.py list                         says which frameworks there are
    dialects_frameworks.py venv FRAMEWORK               says which requirements-NAME.txt it needs

Each needs a virtual environment of its own (tests/clients/frameworks/requirements-NAME.txt): their versions of the OpenAI package
exclude each other. An agent with one tool is asked the first question, which takes two model calls, and then the second one
in the same conversation. Session and user are named in the way that the sender has for it, or as baggage.
"""

import asyncio
import json
import os
import sys
from urllib.parse import urlsplit

import dialects
import fake_openai
from dialects import FIRST, MODEL, RESULT, SECOND, SESSION, SYSTEM, USER, baggage, in_python

KEY = "sk-none"


def get_weather(city: str, unit: str) -> str:
    """The weather in a city now

    Args:
        city: The name of the city.
        unit: celsius or fahrenheit.
    """
    assert {"city": city, "unit": unit} == json.loads(dialects.ARGUMENTS), (city, unit)
    return RESULT


def is_answer(text):
    assert text.strip() == dialects.ANSWER, text


def is_second(text):
    assert text.strip() == "".join(dialects.STREAMED), text


def openai_agents(instrument, within):
    """The OpenAI Agents SDK with its default model, which calls the Responses API."""

    def drive(provider, base_url):
        from agents import Agent, ModelSettings, Runner, SQLiteSession, function_tool, set_default_openai_client
        from openai import AsyncOpenAI

        instrument(provider)
        set_default_openai_client(AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0), use_for_tracing=False)
        settings = ModelSettings(temperature=0.2, max_tokens=256)
        agent = Agent(name="weather", instructions=SYSTEM, model=MODEL, model_settings=settings, tools=[function_tool(get_weather)])

        async def run():
            session = SQLiteSession(SESSION)
            is_answer((await Runner.run(agent, FIRST, session=session)).final_output)
            is_second((await Runner.run(agent, SECOND, session=session)).final_output)

        with within():
            asyncio.run(run())

    return drive


def by_openinference(package, name):
    """An instrumentation of OpenInference."""

    def instrument(provider):
        module = __import__(f"openinference.instrumentation.{package}", fromlist=[name])
        getattr(module, name)().instrument(tracer_provider=provider)

    return instrument


def by_openllmetry(package, name):
    """An instrumentation of OpenLLMetry."""

    def instrument(provider):
        module = __import__(f"opentelemetry.instrumentation.{package}", fromlist=[name])
        getattr(module, name)().instrument(tracer_provider=provider)

    return instrument


def as_openinference():
    from openinference.instrumentation import using_attributes

    return using_attributes(session_id=SESSION, user_id=USER)


def as_baggage():
    return baggage(session_id=SESSION, user_id=USER)


def langchain(instrument, within):
    """An agent of LangChain, which LangGraph runs."""

    def drive(provider, base_url):
        instrument(provider)
        from langchain.agents import create_agent
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(model=MODEL, base_url=base_url, api_key=KEY, temperature=0.2, max_tokens=256, max_retries=0)
        agent = create_agent(model, tools=[get_weather], system_prompt=SYSTEM)
        of_run = {"metadata": {"session_id": SESSION, "user_id": USER}}
        with within():
            said = agent.invoke({"messages": [{"role": "user", "content": FIRST}]}, of_run)["messages"]
            is_answer(said[-1].content)
            again = agent.invoke({"messages": [*said, {"role": "user", "content": SECOND}]}, of_run)["messages"]
            is_second(again[-1].content)
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()

    return drive


def by_langsmith(provider):
    """LangSmith's own spans, through the application's tracer provider and to nobody else."""
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_TRACING_MODE="otel", LANGSMITH_API_KEY="none", LANGSMITH_ENDPOINT="http://127.0.0.1:9")
    os.environ["LANGCHAIN_REVISION_ID"] = "1"  # otherwise that of the repository it runs in


def llama_index(provider, base_url):
    by_openinference("llama_index", "LlamaIndexInstrumentor")(provider)
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.core.tools import FunctionTool
    from llama_index.core.workflow import Context
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(
        model=MODEL, api_base=base_url, api_key=KEY, temperature=0.2, max_tokens=256, max_retries=0,
        is_chat_model=True, is_function_calling_model=True,
    )  # fmt: skip
    agent = FunctionAgent(name="weather", llm=model, system_prompt=SYSTEM, tools=[FunctionTool.from_defaults(get_weather)], streaming=False)

    async def run():
        context = Context(agent)
        is_answer(str(await agent.run(FIRST, ctx=context)))
        is_second(str(await agent.run(SECOND, ctx=context)))

    with as_openinference():
        asyncio.run(run())


def smolagents(provider, base_url):
    by_openinference("smolagents", "SmolagentsInstrumentor")(provider)
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool

    model = OpenAIServerModel(MODEL, api_base=base_url, api_key=KEY, temperature=0.2, max_tokens=256)
    agent = ToolCallingAgent(tools=[tool(get_weather)], model=model, instructions=SYSTEM, verbosity_level=0)
    with as_openinference():
        is_answer(agent.run(FIRST))
        is_second(agent.run(SECOND, reset=False))


def haystack(instrument, within):
    def drive(provider, base_url):
        os.environ.update(HAYSTACK_CONTENT_TRACING_ENABLED="true", HAYSTACK_TELEMETRY_ENABLED="False")
        from haystack.components.agents import Agent
        from haystack.components.generators.chat import OpenAIChatGenerator
        from haystack.dataclasses import ChatMessage
        from haystack.tools import create_tool_from_function
        from haystack.utils import Secret

        instrument(provider)
        model = OpenAIChatGenerator(
            model=MODEL, api_base_url=base_url, api_key=Secret.from_token(KEY), max_retries=0,
            generation_kwargs={"temperature": 0.2, "max_completion_tokens": 256},
        )  # fmt: skip
        tool = create_tool_from_function(get_weather, name="get_weather", description="The weather in a city now")
        agent = Agent(chat_generator=model, tools=[tool], system_prompt=SYSTEM)
        with within():
            said = agent.run(messages=[ChatMessage.from_user(FIRST)])["messages"]
            is_answer(said[-1].text)
            history = [message for message in said if message.role != "system"]
            again = agent.run(messages=[*history, ChatMessage.from_user(SECOND)])["messages"]
            is_second(again[-1].text)

    return drive


def by_haystack(provider):
    """Haystack's own tracer."""
    from haystack import tracing
    from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer

    tracing.tracer.is_content_tracing_enabled = True
    tracing.enable_tracing(OpenTelemetryTracer(provider.get_tracer("haystack")))


def agno(provider, base_url):
    by_openinference("agno", "AgnoInstrumentor")(provider)
    from agno.agent import Agent
    from agno.db.in_memory import InMemoryDb
    from agno.models.openai import OpenAIChat

    os.environ["AGNO_TELEMETRY"] = "false"
    model = OpenAIChat(id=MODEL, base_url=base_url, api_key=KEY, temperature=0.2, max_tokens=256, max_retries=0)
    agent = Agent(
        name="weather", model=model, tools=[get_weather], system_message=SYSTEM, session_id=SESSION, user_id=USER,
        db=InMemoryDb(), add_history_to_context=True, telemetry=False,
    )  # fmt: skip
    is_answer(agent.run(FIRST).content)
    is_second(agent.run(SECOND).content)


def strands(environment):
    """Strands Agents, which Bedrock AgentCore runs, with its own spans."""

    def drive(provider, base_url):
        os.environ.update(environment)
        from strands import Agent, tool
        from strands.models.openai import OpenAIModel

        model = OpenAIModel(
            client_args={"base_url": base_url, "api_key": KEY, "max_retries": 0}, model_id=MODEL,
            params={"temperature": 0.2, "max_tokens": 256},
        )  # fmt: skip
        of_trace = {"session.id": SESSION, "user.id": USER}
        agent = Agent(
            name="weather", model=model, system_prompt=SYSTEM, tools=[tool(get_weather)], callback_handler=None, trace_attributes=of_trace
        )
        is_answer(str(agent(FIRST)))
        is_second(str(agent(SECOND)))

    return drive


def autogen(provider, base_url):
    """AutoGen, which makes spans of its agents and tools itself; those of the model are OpenInference's."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False, "family": "gpt-4"}
    model = OpenAIChatCompletionClient(
        model=MODEL, base_url=base_url, api_key=KEY, temperature=0.2, max_tokens=256, max_retries=0, model_info=info
    )
    agent = AssistantAgent("weather", model, tools=[get_weather], system_message=SYSTEM, reflect_on_tool_use=True)

    async def run():
        is_answer((await agent.run(task=FIRST)).messages[-1].content)
        is_second((await agent.run(task=SECOND)).messages[-1].content)
        await model.close()

    by_openinference("openai", "OpenAIInstrumentor")(provider)
    with as_baggage():
        asyncio.run(run())


def semantic_kernel(provider, base_url):
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"
    from openai import AsyncOpenAI
    from semantic_kernel import Kernel
    from semantic_kernel.agents import ChatCompletionAgent, ChatHistoryAgentThread
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
    from semantic_kernel.functions import KernelArguments, kernel_function

    class Weather:
        @kernel_function(name="get_weather", description="The weather in a city now")
        def get_weather(self, city: str, unit: str) -> str:
            return get_weather(city, unit)

    service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0))
    settings = OpenAIChatPromptExecutionSettings(temperature=0.2, max_tokens=256)
    kernel = Kernel()
    kernel.add_function("weather", Weather().get_weather)
    agent = ChatCompletionAgent(name="weather", kernel=kernel, service=service, instructions=SYSTEM, arguments=KernelArguments(settings))

    async def run():
        thread = ChatHistoryAgentThread(thread_id=SESSION)
        is_answer(str(await agent.get_response(FIRST, thread=thread)))
        is_second(str(await agent.get_response(SECOND, thread=thread)))

    with as_baggage():
        asyncio.run(run())


def langfuse(provider, base_url):
    """Langfuse's own wrapper of the OpenAI package."""
    from langfuse import Langfuse, propagate_attributes

    Langfuse(public_key="pk-none", secret_key="sk-none", base_url="http://127.0.0.1:9", tracer_provider=provider, tracing_enabled=True)
    from langfuse.openai import OpenAI

    with propagate_attributes(session_id=SESSION, user_id=USER):
        dialects.converse(OpenAI(base_url=base_url, api_key=KEY, max_retries=0).chat.completions.create)


def laminar(name, endpoint, base_url):
    """Laminar, whose SDK wraps the OpenAI package and has an exporter of its own."""
    sys.argv[0] = name  # it names the service after the program
    from lmnr import Laminar

    endpoint = urlsplit(endpoint)
    Laminar.initialize(project_api_key="none", base_url=f"http://{endpoint.hostname}", http_port=endpoint.port, force_http=True)
    import openai

    def converse():
        Laminar.set_trace_session_id(SESSION)
        Laminar.set_trace_user_id(USER)
        dialects.converse(openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0).chat.completions.create)

    with Laminar.start_as_current_span("weather"):
        converse()
    Laminar.flush()


def dspy(provider, base_url):
    by_openinference("dspy", "DSPyInstrumentor")(provider)
    import dspy

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    dspy.configure(lm=dspy.LM(f"openai/{MODEL}", api_base=base_url, api_key=KEY, temperature=0.2, max_tokens=256, num_retries=0, cache=False))
    with as_openinference():
        dspy.Predict("question -> answer")(question=FIRST)


def google_adk(provider, base_url):
    """Google's Agent Development Kit with its own model, which calls Gemini's generateContent."""
    os.environ.update(GOOGLE_GEMINI_BASE_URL=base_url.removesuffix("/v1"), GOOGLE_API_KEY=KEY, GOOGLE_GENAI_USE_VERTEXAI="FALSE")
    os.environ.update(OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY")
    from google.adk.agents import LlmAgent
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    settings = types.GenerateContentConfig(temperature=0.2, max_output_tokens=256)
    agent = LlmAgent(name="weather", model="gemini-2.5-flash", instruction=SYSTEM, tools=[get_weather], generate_content_config=settings)

    async def run():
        runner = InMemoryRunner(agent, app_name="weather")
        await runner.session_service.create_session(app_name="weather", user_id=USER, session_id=SESSION)
        for question, is_right in [(FIRST, is_answer), (SECOND, is_second)]:
            message = types.Content(role="user", parts=[types.Part(text=question)])
            events = [event async for event in runner.run_async(user_id=USER, session_id=SESSION, new_message=message)]
            is_right(events[-1].content.parts[0].text)

    asyncio.run(run())


def crewai(instrument, within):
    def drive(provider, base_url):
        os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=base_url)
        instrument(provider)
        by_openinference("openai", "OpenAIInstrumentor")(provider)
        from crewai import LLM, Agent, Crew, Task
        from crewai.tools import tool

        model = LLM(model=f"openai/{MODEL}", base_url=base_url, api_key=KEY, temperature=0.2, max_tokens=256)
        agent = Agent(role="weather", goal=SYSTEM, backstory=SYSTEM, llm=model, tools=[tool("get_weather")(get_weather)], verbose=False)

        def ask(question):
            task = Task(description=question, expected_output="one sentence", agent=agent)
            return Crew(agents=[agent], tasks=[task], verbose=False).kickoff().raw

        with within():
            is_answer(ask(FIRST))
            is_second(ask(SECOND))

    return drive


FRAMEWORKS = {
    "openai-agents-openinference": ("openai-agents", in_python(openai_agents(by_openinference("openai_agents", "OpenAIAgentsInstrumentor"), as_openinference))),
    "openai-agents-openllmetry": ("openai-agents", in_python(openai_agents(by_openllmetry("openai_agents", "OpenAIAgentsInstrumentor"), as_baggage))),
    "langchain-openinference": ("langchain", in_python(langchain(by_openinference("langchain", "LangChainInstrumentor"), as_openinference))),
    "langchain-openllmetry": ("langchain", in_python(langchain(by_openllmetry("langchain", "LangchainInstrumentor"), as_baggage))),
    "langsmith": ("langchain", in_python(langchain(by_langsmith, as_baggage))),
    "llama-index": ("llama-index", in_python(llama_index)),
    "smolagents": ("smolagents", in_python(smolagents)),
    "haystack": ("haystack", in_python(haystack(by_haystack, as_baggage))),
    "haystack-openinference": ("haystack", in_python(haystack(by_openinference("haystack", "HaystackInstrumentor"), as_openinference))),
    "agno": ("agno", in_python(agno)),
    "strands": ("strands", in_python(strands({}))),
    "strands-latest": ("strands", in_python(strands({"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental,gen_ai_tool_definitions"}))),
    "autogen": ("autogen", in_python(autogen)),
    "semantic-kernel": ("semantic-kernel", in_python(semantic_kernel)),
    "langfuse": ("langfuse", in_python(langfuse)),
    "laminar": ("laminar", laminar),
    "dspy": ("dspy", in_python(dspy)),
    "google-adk": ("google-adk", in_python(google_adk)),
    "crewai": ("crewai", in_python(crewai(by_openinference("crewai", "CrewAIInstrumentor"), as_openinference))),
}


def main(arguments):
    match arguments:
        case ["list"]:
            print("\n".join(FRAMEWORKS))
        case ["venv", framework]:
            print(FRAMEWORKS[framework][0])
        case ["record", framework, file]:
            dialects.DIALECTS[framework] = FRAMEWORKS[framework][1]
            dialects.record(framework, file)
        case ["drive", framework, endpoint]:
            FRAMEWORKS[framework][1](framework, endpoint, fake_openai.start(dialects.respond))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
