//! The rule, case by case: what senders really send, and what of it counts.

use super::trace::Trace;

/// Who sends it, or where it was reported; and the trace.
type Case = (&'static str, &'static str);

fn check(cases: &[Case]) {
    for (source, text) in cases {
        Trace::new(text).check(source);
    }
}

/// The picture of docs/counting.md.
const PICTURE: Case = (
    "docs/counting.md",
    "
    r plain                                                 -> -
      g invoke_agent used                                   -> repeats
        a chat scope=langchain used                         -> report of 1
          b chat scope=openai used                          -> report of 1
            1 chat scope=vllm kind=Server service=vllm used -> call
        t execute_tool                                      -> -
          2 chat scope=openai used                          -> call
        d chat scope=langchain used                         -> report of 4
          3 chat scope=openai failed                        -> call
          4 chat scope=openai used id=r-4                   -> call
    c captured used id=r-4                                  -> report of 4
    ",
);

#[test]
fn the_picture_in_the_documentation_is_right() {
    check(&[PICTURE]);
}

const WRAPPERS: &[Case] = &[
    (
        "LangChain over the provider's SDK: DataDog/dd-trace-js#8936, Arize-ai/phoenix#15793",
        "
            a chat scope=openinference.instrumentation.langchain used     -> report of b
              b chat scope=openinference.instrumentation.anthropic used   -> call
            ",
    ),
    (
        "LlamaIndex: predict without usage over chat with it (traceroot-ai/traceroot#1173), over the provider's (Arize-ai/phoenix#5590)",
        "
            q invoke_workflow                                               -> -
              p chat scope=openinference.instrumentation.llama_index        -> report of o
                c chat scope=openinference.instrumentation.llama_index used -> report of o
                  o chat scope=openinference.instrumentation.openai used    -> call
            ",
    ),
    (
        "ADK: call_llm over generate_content (google/adk-python tracing.py, #4829)",
        "
            i plain                                       -> -
              g invoke_agent scope=gcp.vertex.agent       -> -
                a chat scope=gcp.vertex.agent used        -> report of b
                  b generate_content scope=gcp.vertex.agent used -> call
            ",
    ),
    (
        "Strands over botocore, cycles in between that no convention knows (strands-agents/sdk-python tracer.py; sums on the agent: harness-sdk#1267)",
        "
            g invoke_agent scope=strands used             -> repeats
              e execute_event_loop_cycle scope=strands    -> -
                a chat scope=strands used                 -> report of b
                  b chat scope=opentelemetry.instrumentation.botocore used -> call
                t execute_tool scope=strands              -> -
              f execute_event_loop_cycle scope=strands    -> -
                c chat scope=strands used                 -> report of d
                  d chat scope=opentelemetry.instrumentation.botocore used -> call
            ",
    ),
    (
        "LiveKit: llm_request over a span for each attempt (livekit/agents#2901, braintrustdata/braintrust-sdk-python#407)",
        "
            s plain                                    -> -
              n plain                                  -> -
                a chat scope=livekit-agents used       -> report of c
                  b chat scope=livekit-agents failed   -> call
                  c chat scope=livekit-agents used     -> call
            ",
    ),
    (
        "Vercel AI SDK: ai.generateText over ai.generateText.doGenerate, over an instrumented provider",
        "
            g invoke_agent scope=ai used               -> repeats
              a chat scope=ai used                     -> report of b
                b chat scope=opentelemetry.instrumentation.openai used -> call
            ",
    ),
    (
        "Semantic Kernel: chat.completions below a function, which is a tool",
        "
            k invoke_agent                             -> -
              t execute_tool                           -> -
                a chat scope=Microsoft.SemanticKernel.Diagnostics used -> report of b
                  b chat scope=OpenAI.ChatClient used  -> call
            ",
    ),
    (
        "OpenAI Agents: OpenInference's response over the client's span",
        "
            g invoke_agent                             -> -
              a chat scope=openinference.instrumentation.openai_agents used        -> report of b
                b chat scope=opentelemetry.instrumentation.openai_v2 used id=resp_1 -> call
            ",
    ),
    (
        "pydantic-ai and @ai-sdk/otel 7: an agent, its steps, and their calls",
        "
            g invoke_agent used                        -> repeats
              s agent_step used                        -> repeats
                a chat used                            -> call
              t agent_step used                        -> repeats
                b chat used                            -> call
            ",
    ),
    (
        "other spans in between change nothing",
        "
            a chat used                                -> report of b
              h plain                                  -> -
                i retrieval                            -> -
                  b chat used                          -> call
            ",
    ),
];

#[test]
fn a_wrapper_above_the_providers_span_reports_the_same_call() {
    check(WRAPPERS);
}

const SERVERS: &[Case] = &[
    (
        "vLLM's llm_request: vllm/tracing/utils.py, #4687",
        "
            a chat scope=opentelemetry.instrumentation.openai_v2 kind=Client used id=chatcmpl-4f1e -> report of b
              h plain kind=Client                      -> -
                b chat scope=vllm.llm_engine kind=Server service=vllm used    -> call
            ",
    ),
    (
        "a LiteLLM proxy that the client's trace reaches",
        "
            a chat scope=opentelemetry.instrumentation.openai_v2 used id=chatcmpl-4f1e   -> report of c
              p plain kind=Server service=proxy        -> -
                c chat scope=litellm service=proxy used id=chatcmpl-4f1e -> call
            ",
    ),
    (
        "a LiteLLM proxy, and vLLM below that",
        "
            a chat scope=openai used id=chatcmpl-4f1e  -> report of v
              c chat scope=litellm service=proxy used id=chatcmpl-4f1e -> report of v
                v chat scope=vllm.llm_engine service=vllm used -> call
            ",
    ),
    (
        "an embedding on both sides, of which vLLM's says no operation",
        "
            a embeddings kind=Client used              -> report of b
              b chat kind=Server service=vllm used     -> call
            ",
    ),
    (
        "Zipkin: both sides have one span id, and what the server did hangs below its side",
        "
            a chat span=x kind=Client service=app used    -> report of c
            b chat span=x kind=Server service=vllm        -> report of c
            c chat parent=x service=vllm used             -> call
            d plain parent=x service=app                  -> -
            ",
    ),
];

#[test]
fn a_servers_span_below_the_clients_reports_the_same_call() {
    check(SERVERS);
}

const APART: &[Case] = &[
    (
        "a tool below a chat calls a model",
        "
            a chat used                -> call
              t execute_tool           -> -
                b chat used            -> call
            ",
    ),
    (
        "an agent below a chat calls a model",
        "
            a chat used                -> call
              g invoke_agent used      -> repeats
                b chat used            -> call
            ",
    ),
    (
        "a workflow below a chat calls a model",
        "
            a chat used                -> call
              w invoke_workflow        -> -
                p plain                -> -
                  b chat used          -> call
            ",
    ),
    (
        "siblings with equal counts",
        "
            r plain                    -> -
              a chat used              -> call
              b chat used              -> call
            ",
    ),
    (
        "a wrapper of two calls is neither of them",
        "
            w chat used                -> repeats
              a chat used              -> call
              b chat used              -> call
            ",
    ),
    (
        "... however many spans each of them has",
        "
            v chat                     -> repeats
              w chat used              -> repeats
                a chat used            -> report of b
                  b chat used          -> call
                c chat used            -> call
            ",
    ),
    (
        "an embedding inside a chat looks something up for it",
        "
            a chat used                -> call
              r retrieval              -> -
                e embeddings used      -> call
              k rerank used            -> call
            ",
    ),
    (
        "a ranking by a language model is one call",
        "
            k rerank used              -> report of a
              a chat used              -> call
            ",
    ),
];

#[test]
fn what_works_by_itself_keeps_calls_apart() {
    check(APART);
}

const WITHOUT_USAGE: &[Case] = &[
    (
        "a stream whose usage only the wrapper has",
        "
            a chat scope=langchain used  -> call
              b chat scope=openai        -> report of a
            ",
    ),
    (
        "a failed attempt below a call that did not fail: LiteLLM, the SDK's max_retries",
        "
            a chat used                -> call
              b chat failed            -> report of a
            ",
    ),
    (
        "failed attempts, and the one that did not fail",
        "
            w chat used                -> report of c
              a chat failed            -> call
              b chat failed            -> call
              c chat used              -> call
            ",
    ),
    (
        "a failed attempt, and a stream whose usage only the wrapper has",
        "
            w chat used                -> call
              a chat failed            -> call
              b chat                   -> report of w
            ",
    ),
    (
        "two streams whose usage only the wrapper has are two calls",
        "
            w chat used                -> call
              a chat                   -> report of w
              b chat                   -> call
            ",
    ),
    (
        "nobody knows the usage",
        "
            a chat scope=langchain     -> report of b
              b chat scope=openai      -> call
            ",
    ),
    (
        "the call failed for both",
        "
            a chat scope=langchain failed  -> report of b
              b chat scope=openai failed   -> call
            ",
    ),
    (
        "every attempt failed",
        "
            w chat failed              -> repeats
              a chat failed            -> call
              b chat failed            -> call
            ",
    ),
    (
        "the client gave up, the server went on",
        "
            a chat kind=Client failed       -> report of b
              b chat kind=Server used       -> call
            ",
    ),
    (
        "a wrapper inside that knows as little as the stream below it",
        "
            a chat used                -> call
              w chat failed            -> report of a
                b chat                 -> report of a
            ",
    ),
    (
        "alone it is a call, answered or not",
        "
            r plain                    -> -
              a chat                   -> call
              b chat failed            -> call
            ",
    ),
];

#[test]
fn a_report_without_usage_covers_nothing_that_has_it() {
    check(WITHOUT_USAGE);
}

const ONE_ID: &[Case] = &[
    (
        "a captured call and an instrumented span",
        "
            r plain                    -> -
              a chat used id=r-1       -> call
            c captured used id=r-1     -> report of a
            ",
    ),
    (
        "... while nobody knows the root",
        "
            a chat parent=lost used id=r-1 -> call
            c captured used id=r-1         -> report of a
            ",
    ),
    (
        "... whose span says nothing of usage",
        "
            r plain                    -> -
              a chat id=r-1            -> report of c
            c captured used id=r-1     -> call
            ",
    ),
    (
        "a gateway that began a branch of its own",
        "
            r plain                                   -> -
              a chat scope=openai used id=r-1         -> call
              p plain kind=Server                     -> -
                g chat scope=litellm used id=r-1      -> report of a
            ",
    ),
    (
        "framework, client, server and a captured call",
        "
            r plain                                   -> -
              f chat scope=langchain used             -> report of s
                a chat scope=openai used id=r-1       -> report of s
                  s chat scope=vllm used              -> call
            c captured used id=r-1                    -> report of s
            ",
    ),
    (
        "the framework alone has the id",
        "
            r plain                                   -> -
              f chat scope=langchain used id=r-1      -> report of a
                a chat scope=openai used              -> call
            c captured used id=r-1                    -> report of a
            ",
    ),
    (
        "chat and generate_content are one thing, an embedding is another",
        "
            r plain                                   -> -
              a chat scope=x used id=r-1              -> call
              b generate_content scope=y used id=r-1  -> report of a
              e embeddings scope=z used id=r-1        -> call
            ",
    ),
    (
        "an agent in between",
        "
            a chat scope=copilot used id=r-1          -> call
              g invoke_agent                          -> -
                b chat scope=openai used id=r-1       -> report of a
            ",
    ),
];

#[test]
fn one_response_id_from_different_sources_is_one_call() {
    check(ONE_ID);
}

const ONE_SOURCE: &[Case] = &[
    (
        "KoboldCpp gives every response the id koboldcpp; InternLM/lmdeploy#4707",
        "
            r plain                    -> -
              a chat used id=koboldcpp -> call
              b chat used id=koboldcpp -> call
            ",
    ),
    (
        "... under a framework",
        "
            r plain                                     -> -
              f chat scope=langchain used id=koboldcpp  -> report of a
                a chat scope=openai used id=koboldcpp   -> call
              g chat scope=langchain used id=koboldcpp  -> report of b
                b chat scope=openai used id=koboldcpp   -> call
            ",
    ),
    (
        "... and a gateway captured both",
        "
            r plain                               -> -
              a chat used id=koboldcpp at=100     -> call
              b chat used id=koboldcpp at=9000    -> call
            c captured used id=koboldcpp at=150   -> report of a
            d captured used id=koboldcpp at=9050  -> report of b
            ",
    ),
    (
        "... or only the later one",
        "
            r plain                               -> -
              a chat used id=koboldcpp at=100     -> call
              b chat used id=koboldcpp at=9000    -> call
            d captured used id=koboldcpp at=9050  -> report of b
            ",
    ),
    (
        "... or one that no span reports",
        "
            r plain                               -> -
              a chat used id=koboldcpp at=100     -> call
            c captured used id=koboldcpp at=150   -> report of a
            d captured used id=koboldcpp at=9050  -> call
            ",
    ),
    (
        "Ollama draws ids from a thousand: middleware/openai.go",
        "
            r plain                          -> -
              a chat used id=chatcmpl-12     -> call
            c captured used id=chatcmpl-12   -> call
            ",
    ),
    (
        "two captured calls",
        "
            c captured used id=r-1           -> call
            d captured used id=r-1 at=5000   -> call
            ",
    ),
];

#[test]
fn one_source_does_not_report_a_call_twice() {
    check(ONE_SOURCE);
}

const BELOW_THE_ROOT: &[Case] = &[
    (
        "the root is the span of the same call, without an id",
        "
            a chat used                -> call
            c captured used id=r-1     -> report of a
            ",
    ),
    (
        "the root is another call",
        "
            a chat used id=r-0         -> call
            c captured used id=r-1     -> call
            ",
    ),
    (
        "the root wraps two calls",
        "
            a chat used                -> repeats
            c captured used id=r-1     -> call
            d captured used id=r-2     -> call
            ",
    ),
    (
        "of several roots the one that began first",
        "
            z chat used at=500         -> call
            a chat used at=100         -> call
            c captured used id=r-1     -> report of a
            ",
    ),
    (
        "one whose sender named its parent lies there",
        "
            r plain                             -> -
              a chat used id=r-0                -> call
                c captured used id=r-1          -> report of a
            ",
    ),
];

#[test]
fn a_captured_call_that_named_only_its_trace_hangs_below_the_root() {
    check(BELOW_THE_ROOT);
}

const AGENTS: &[Case] = &[
    (
        "a sum beside its calls: pydantic/pydantic-ai#3995",
        "
            g invoke_agent used        -> repeats
              a chat used              -> call
              b chat used              -> call
            ",
    ),
    (
        "a sum without calls",
        "
            r plain                    -> -
              g invoke_agent used      -> call
                t execute_tool         -> -
            ",
    ),
    (
        "the lowest of several agents",
        "
            w invoke_workflow used     -> repeats
              g invoke_agent used      -> repeats
                h invoke_agent used    -> call
                i invoke_agent used    -> call
            ",
    ),
    (
        "a tool repeats its call, and the agent both: smolagents, Arize-ai/phoenix#12775",
        "
            g invoke_agent used        -> repeats
              t execute_tool used      -> -
                a chat used            -> call
            ",
    ),
    (
        "CrewAI's kickoff: Arize-ai/openinference#1154",
        "
            k invoke_workflow used     -> repeats
              g invoke_agent used      -> repeats
                a chat used            -> call
            ",
    ),
    (
        "a stream whose usage only the agent has: ai.streamText over ai.streamText.doStream",
        "
            g invoke_agent used        -> call
              a chat                   -> report of g
            ",
    ),
    (
        "several such streams",
        "
            g invoke_agent used        -> call
              a chat failed            -> call
              b chat                   -> report of g
              c chat                   -> call
            ",
    ),
    (
        "a call beside the agent",
        "
            r plain                    -> -
              g invoke_agent used      -> call
              a chat used              -> call
            ",
    ),
    (
        "an agent without usage is nothing",
        "
            g invoke_agent             -> -
            ",
    ),
    (
        "a captured call that may be of any agent",
        "
            r plain                    -> -
              g invoke_agent used      -> repeats
              h invoke_agent used      -> repeats
            c captured used id=r-1     -> call
            ",
    ),
    (
        "a captured call of which a span says where it belongs",
        "
            r plain                    -> -
              g invoke_agent used      -> call
              h invoke_agent used      -> repeats
                a chat id=r-1          -> report of c
            c captured used id=r-1     -> call
            ",
    ),
    (
        "an Azure agent's run",
        "
            p process_thread_run used  -> call
            ",
    ),
];

#[test]
fn an_agent_counts_only_if_nothing_below_it_says_what_was_used() {
    check(AGENTS);
}

const UNKNOWN: &[Case] = &[
    (
        "alone",
        "
            r plain                    -> -
              u transcribe used        -> call
            ",
    ),
    (
        "above a call, tools or not",
        "
            u my_operation used        -> repeats
              t execute_tool           -> -
                a chat used            -> call
            ",
    ),
    (
        "inside a call, which it covers as a chat would",
        "
            a chat used                -> report of u
              u my_operation used      -> call
            ",
    ),
    (
        "counting tokens is no call: open-telemetry/semantic-conventions-genai#510",
        "
            u count_tokens used        -> -
            ",
    ),
    (
        "a tool is none, whatever it says",
        "
            t execute_tool used        -> -
            ",
    ),
];

#[test]
fn an_operation_that_no_convention_knows_counts_if_nobody_else_reports_it() {
    check(UNKNOWN);
}

const NO_TREES: &[Case] = &[
    (
        "a row again: the one that ends later stays",
        "
            a chat span=x used at=100            -> b again
            b chat span=x used at=200            -> call
            ",
    ),
    (
        "one id in two services is two spans",
        "
            a chat span=x service=one used       -> call
            b chat span=x service=two used       -> call
            ",
    ),
    (
        "a circle is cut above the span that began first",
        "
            a chat parent=c used                 -> report of c
              b plain                            -> -
                c chat used                      -> call
            ",
    ),
    (
        "a span that is its own parent",
        "
            a chat parent=a used                 -> call
            ",
    ),
    (
        "parents that never came",
        "
            a chat parent=lost used              -> call
            b chat parent=gone used              -> call
            ",
    ),
];

#[test]
fn a_trace_need_not_be_a_tree() {
    check(NO_TREES);
}

#[test]
fn reports_are_in_the_order_in_which_their_values_win() {
    for (text, want) in [
        (
            "
            f chat scope=langchain used             -> report of s
              a chat scope=openai used id=r-1       -> report of s
                s chat scope=vllm used              -> call
            c captured used id=r-1                  -> report of s
            ",
            vec!["s a f c"],
        ),
        (
            "
            r plain                                 -> -
              p chat scope=llama                    -> report of a
                f chat scope=langchain used         -> report of a
                  a chat scope=openai used id=r-1   -> call
            c captured used id=r-1                  -> report of a
            g chat scope=litellm used id=r-1        -> report of a
            ",
            vec!["a f g c p"],
        ),
        (
            "
            a chat used                             -> call
              b chat failed                         -> report of a
              c plain                               -> -
                d chat failed                       -> report of a
            ",
            vec!["a d b"],
        ),
        (
            "
            g invoke_agent used                     -> call
              a chat                                -> report of g
              b chat                                -> call
            ",
            vec!["g a", "b"],
        ),
    ] {
        let trace = Trace::new(text);
        trace.check(text);
        assert_eq!(trace.reports(), want, "{text}");
    }
}

#[test]
fn what_a_span_says_of_all_below_it_is_handed_down_to_the_next_that_says_something_else() {
    let trace = Trace::new(
        "
        v chat used                -> repeats
          w chat used              -> repeats
            f chat used            -> report of a
              a chat used          -> call
            t execute_tool         -> -
              b chat used          -> call
            c chat used            -> call
          d chat used              -> call
        e chat parent=nowhere      -> call
        ",
    );
    trace.check("nested wrappers");
    let want = ["v v", "w w", "f w", "a w", "t t", "b t", "c w", "d v", "e -"];
    let handed_down = trace.handed_down(&["v", "w", "t"]);
    assert_eq!(handed_down.into_iter().map(|(span, name)| format!("{span} {name}")).collect::<Vec<_>>(), want);
}

const EVENTS: &[Case] = &[
    (
        "Claude Code: a span (beta) and an event that name the same request, side by side",
        "
            i invoke_agent scope=tracing                  -> -
              s chat scope=tracing id=req_1 tokens=10+4   -> call
              e chat event=api_request id=req_1 tokens=10+4 -> report of s
            ",
    ),
    (
        "Codex: neither names the response, and they agree in their tokens",
        "
            t invoke_agent scope=codex tokens=30+9        -> repeats
              s chat scope=codex tokens=10+4              -> call
              u chat scope=codex tokens=20+5              -> call
            e chat event=sse_event tokens=10+4            -> report of s
            f chat event=sse_event tokens=20+5            -> report of u
            ",
    ),
    (
        "an agent whose traces go elsewhere: each event is a call, even if two agree",
        "
            e chat event=sse_event tokens=10+4            -> call
            f chat event=sse_event tokens=10+4            -> call
            ",
    ),
    (
        "Gemini CLI: what the conventions' event says hangs below the agent's own",
        "
            s chat scope=gemini-cli tokens=10+4           -> call
              a generate_content event=api_response tokens=10+4 -> report of s
                d generate_content event=details          -> report of s
            ",
    ),
    (
        "two spans that agree are two calls, whatever events there are",
        "
            s chat scope=a tokens=10+4                    -> call
            u chat scope=b tokens=10+4                    -> call
            e chat event=sse_event tokens=7+7             -> call
            ",
    ),
];

/// `opentelemetry-instrumentation-openai-v2` and its like write each message as a log record, within the span of the call.
const MESSAGES: &[Case] = &[
    (
        "a call with what was asked and answered, whether it says what it used or not",
        "
            s chat scope=openai tokens=10+4               -> call
              q chat messages=asked                       -> report of s
              a chat messages=answers                     -> report of s
            t chat scope=openai                           -> call
              r chat messages=asked                       -> report of t
              b chat messages=answers                     -> report of t
            ",
    ),
    (
        "records of a call arrive in several requests",
        "
            s chat scope=openai tokens=10+4               -> call
              q chat messages=asked                       -> report of s
              r chat messages=asked                       -> report of s
              a chat messages=answers                     -> report of s
              b chat messages=answers                     -> report of s
            ",
    ),
    (
        "a wrapper, and a server's span below",
        "
            w chat scope=langchain                        -> report of v
              s chat scope=openai tokens=10+4             -> report of v
                a chat messages=answers                   -> report of v
                v chat scope=vllm tokens=10+4             -> call
            ",
    ),
    (
        "a captured call with the same response id",
        "
            s chat scope=openai tokens=10+4 id=resp_abcdefghij -> call
              a chat messages=answers                     -> report of s
            c captured tokens=10+4 id=resp_abcdefghij     -> report of s
            ",
    ),
    (
        "an agent's own messages, and those of a wrapper of several calls, are no call",
        "
            i invoke_agent scope=agents                   -> -
              q chat messages=asked                       -> -
              a chat messages=answers                     -> -
              w chat scope=langchain tokens=30+8          -> repeats
                b chat messages=answers                   -> -
                s chat scope=openai tokens=10+4           -> call
                t chat scope=openai tokens=20+4           -> call
            ",
    ),
    (
        "the span is not there, or is about no model: a call if it was answered",
        "
            q chat messages=asked parent=x                -> report of a
            a chat messages=answers parent=x              -> call
            r chat messages=asked parent=y                -> -
            h plain                                       -> -
              p chat messages=asked                       -> report of b
              b chat messages=answers                     -> call
            ",
    ),
];

#[test]
fn messages_belong_to_the_call_of_the_span_in_which_they_were_written() {
    check(MESSAGES);
}

#[test]
fn an_event_and_a_span_of_one_call_are_one() {
    check(EVENTS);
}
