// What a decoder does between its matrix products, one launch each where candle takes several: on a GPU a token of a
// small model costs as many launches as it has steps. Compiled by NVRTC when it is first used.

// Threads of a block; whole warps.
#define THREADS 256
#define WARPS (THREADS / 32)
// A head has at most this many numbers for each lane of a warp.
#define LANE_NUMBERS 8
// Tokens that a warp reads at a time.
#define TOGETHER 4
// As attention.rs has it.
#define SEQUENCES 32
// NVRTC knows no math.h.
#define NOTHING __int_as_float(0xff800000) // -inf

__device__ float sum_of_warp(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffff, x, offset);
    return x;
}

// sum = x + y; normed = sum / sqrt(mean(sum^2) + eps) * weight, for each row of `width` numbers. A block for each row.
extern "C" __global__ void add_rms_norm(float *sum, float *normed, const float *x, const float *y, const float *weight,
                                        float eps, int width) {
    __shared__ float squares[WARPS];
    const size_t row = (size_t)blockIdx.x * width;
    float own = 0.0f;
    for (int i = threadIdx.x; i < width; i += THREADS) {
        const float value = x[row + i] + y[row + i];
        sum[row + i] = value;
        own += value * value;
    }
    own = sum_of_warp(own);
    if (threadIdx.x % 32 == 0) squares[threadIdx.x / 32] = own;
    __syncthreads();
    float all = 0.0f;
    for (int warp = 0; warp < WARPS; warp++) all += squares[warp];
    const float scale = rsqrtf(all / width + eps);
    for (int i = threadIdx.x; i < width; i += THREADS) normed[row + i] = sum[row + i] * scale * weight[i];
}

// y = gate * sigmoid(gate) * up
extern "C" __global__ void silu_mul(float *y, const float *gate, const float *up, int count) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < count) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

// Where the sequences of a launch keep their keys and values, [kv_heads, room, head_dim], and at which position
// their new token stands; that is row `row` of q, k, v and the rotary table.
struct Sequences {
    float *keys[SEQUENCES];
    float *values[SEQUENCES];
    int position[SEQUENCES];
    int room[SEQUENCES];
    int row[SEQUENCES];
};

// One token of each sequence: rotates its query and key (half-split convention), writes key and value to the cache,
// and attends to what the token sees. A block for each query head and sequence; warps take turns at the tokens, some
// of which each reads at a time, since what it waits for is memory; each has a running maximum, and their sums are
// joined at the end.
extern "C" __global__ __launch_bounds__(1024) void decode_attention(float *out, const float *q, const float *k, const float *v,
                                            const float *cos, const float *sin, const Sequences sequences, int kv_heads,
                                            int head_dim, int window, float scale) {
    extern __shared__ float shared[];
    const int threads = blockDim.x, warps = threads / 32;
    float *query = shared;              // [head_dim], scaled
    float *key = query + head_dim;      // [head_dim]
    float *sums = key + head_dim;       // [warps, head_dim]
    float *largest = sums + warps * head_dim; // [warps]
    float *total = largest + warps;     // [warps]

    const int head = blockIdx.x, heads = gridDim.x, sequence = blockIdx.y;
    const int group = heads / kv_heads, kv_head = head / group;
    const int row = sequences.row[sequence], position = sequences.position[sequence];
    const size_t base = (size_t)kv_head * sequences.room[sequence] * head_dim;
    float *keys = sequences.keys[sequence] + base;
    float *values = sequences.values[sequence] + base;
    q += ((size_t)row * heads + head) * head_dim;
    k += ((size_t)row * kv_heads + kv_head) * head_dim;
    v += ((size_t)row * kv_heads + kv_head) * head_dim;

    const int half = head_dim / 2;
    for (int i = threadIdx.x; i < half; i += threads) {
        const float c = cos[row * half + i], s = sin[row * half + i];
        query[i] = (q[i] * c - q[i + half] * s) * scale;
        query[i + half] = (q[i + half] * c + q[i] * s) * scale;
        key[i] = k[i] * c - k[i + half] * s;
        key[i + half] = k[i + half] * c + k[i] * s;
    }
    __syncthreads();
    if (head % group == 0) {
        for (int i = threadIdx.x; i < head_dim; i += threads) {
            keys[(size_t)position * head_dim + i] = key[i];
            values[(size_t)position * head_dim + i] = v[i];
        }
    }

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float own[LANE_NUMBERS], sum[LANE_NUMBERS];
    for (int n = 0; n < LANE_NUMBERS; n++) {
        const int i = lane + 32 * n;
        own[n] = i < head_dim ? query[i] : 0.0f;
        sum[n] = 0.0f;
    }
    float most = NOTHING, weights = 0.0f;
    const int first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    for (int token = first + warp; token <= position; token += TOGETHER * warps) {
        float scores[TOGETHER], numbers[TOGETHER][LANE_NUMBERS];
        for (int t = 0; t < TOGETHER; t++) {
            const int its = token + t * warps;
            scores[t] = 0.0f;
            if (its > position) continue;
            // The newest token's key and value may not have reached the cache yet.
            const float *its_key = its == position ? key : keys + (size_t)its * head_dim;
            const float *its_value = its == position ? v : values + (size_t)its * head_dim;
            for (int n = 0; n < LANE_NUMBERS; n++) {
                const int i = lane + 32 * n;
                if (i < head_dim) {
                    scores[t] += own[n] * its_key[i];
                    numbers[t][n] = its_value[i];
                }
            }
        }
        float larger = most;
        for (int t = 0; t < TOGETHER; t++) {
            scores[t] = token + t * warps <= position ? sum_of_warp(scores[t]) : NOTHING;
            larger = fmaxf(larger, scores[t]);
        }
        const float keep = expf(most - larger);
        weights *= keep;
        for (int n = 0; n < LANE_NUMBERS; n++) sum[n] *= keep;
        for (int t = 0; t < TOGETHER; t++) {
            if (token + t * warps > position) continue;
            const float weight = expf(scores[t] - larger);
            weights += weight;
            for (int n = 0; n < LANE_NUMBERS; n++) {
                if (lane + 32 * n < head_dim) sum[n] += weight * numbers[t][n];
            }
        }
        most = larger;
    }
    for (int n = 0; n < LANE_NUMBERS; n++) {
        const int i = lane + 32 * n;
        if (i < head_dim) sums[warp * head_dim + i] = sum[n];
    }
    if (lane == 0) {
        largest[warp] = most;
        total[warp] = weights;
    }
    __syncthreads();

    float top = NOTHING;
    for (int other = 0; other < warps; other++) top = fmaxf(top, largest[other]);
    for (int i = threadIdx.x; i < head_dim; i += threads) {
        float numerator = 0.0f, denominator = 0.0f;
        for (int other = 0; other < warps; other++) {
            // A warp that saw no token weighs nothing: exp(-inf).
            const float weight = expf(largest[other] - top);
            numerator += weight * sums[other * head_dim + i];
            denominator += weight * total[other];
        }
        out[((size_t)row * heads + head) * head_dim + i] = numerator / denominator;
    }
}
