// What a plain loop over llama.h gets from the same libraries: `loop MODEL THREADS SEQUENCES PROMPT ANSWER` reads
// SEQUENCES prompts of PROMPT tokens, then takes ANSWER tokens greedily of all of them in common batches.
// Prints microseconds to the first tokens of all, and to the last; tokens read, and tokens written.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "llama.h"

int main(int argc, char ** argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: loop MODEL THREADS SEQUENCES PROMPT ANSWER\n");
        return 1;
    }
    const int n_threads = atoi(argv[2]), n_seq = atoi(argv[3]), n_prompt = atoi(argv[4]), n_answer = atoi(argv[5]);
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) return 1;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 4096;
    params.n_seq_max = n_seq;
    params.kv_unified = true;
    params.n_threads = params.n_threads_batch = n_threads;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) return 1;
    const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    llama_batch batch = llama_batch_init(params.n_batch, 0, 1);
    auto add = [&](llama_token token, int position, int sequence, bool logits) {
        const int i = batch.n_tokens++;
        batch.token[i] = token;
        batch.pos[i] = position;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = sequence;
        batch.logits[i] = logits;
    };
    auto read_prompt = [&](int sequence, int n) {
        batch.n_tokens = 0;
        for (int i = 0; i < n; i++) add((1000 + 7 * i + sequence) % n_vocab, i, sequence, i + 1 == n);
        if (llama_decode(context, batch) != 0) exit(1);
    };
    read_prompt(0, 32);  // warm, as the engine is
    llama_memory_clear(llama_get_memory(context), true);

    llama_sampler * greedy = llama_sampler_init_greedy();
    std::vector<llama_token> last(n_seq);
    long long n_read = 0, n_written = 0;
    const int64_t started = ggml_time_us();
    for (int s = 0; s < n_seq; s++) {
        read_prompt(s, n_prompt);
        n_read += batch.n_tokens;
        last[s] = llama_sampler_sample(greedy, context, -1);
        n_written++;
    }
    const int64_t read = ggml_time_us();
    for (int step = 1; step < n_answer; step++) {
        batch.n_tokens = 0;
        for (int s = 0; s < n_seq; s++) add(last[s], n_prompt + step - 1, s, true);
        if (llama_decode(context, batch) != 0) return 1;
        for (int s = 0; s < n_seq; s++) last[s] = llama_sampler_sample(greedy, context, s);
        n_written += n_seq;
    }
    const int64_t ended = ggml_time_us();
    printf("%lld %lld %lld %lld\n", (long long) (read - started), (long long) (ended - started), n_read, n_written);
    llama_sampler_free(greedy);
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
}
