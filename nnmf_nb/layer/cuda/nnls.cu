// Exact nonnegative least squares on a GPU and its masked solve for the backward pass: one warp per data point.
//
// The algorithm, its tolerances and its status bits are those of nnmf_nb/kernels/cpu.py, step by step; only the loops over coordinates
// are dealt out to the 32 lanes. Lane l owns the coordinates l, l + 32, .. (Q of them, k <= 32 Q). G has unit diagonal and is read
// through the caches; the triangular factor of the passive set lives in shared memory. Compiled by NVRTC through cupy.RawModule,
// and by g++ with tests/emulator.h. A shuffle or a ballot orders no memory: what lanes tell each other there passes a __syncwarp.

typedef long long int64;

constexpr unsigned ALL = 0xffffffffu;
constexpr int OK = 0, DEGENERATE = 1, TIED = 2, NOT_CONVERGED = 4;
constexpr double ENTRY_ERROR = 4 * 2.3e-16;  // times max(k, 4): relative rounding error of the entries of G

// ---------------------------------------------------------------------------------------------------------------- the warp

// One problem, and its warp's room in shared memory: factor L (packed by columns), inverse pivots, values and numbers of the members.
struct Problem {
    const double* G;
    int k, lane;
    double *L, *inverse, *value;
    int* member;
};

__device__ Problem problem_of_warp(double* shared, int k) {
    // Doubles of one warp, rounded up: nnmf_nb.cuda_kernels.shared_bytes says the same to the launch.
    const int room = k * (k + 1) / 2 + 2 * k + (k + 1) / 2, warp = threadIdx.x / 32;
    double* L = shared + warp * room;
    double* inverse = L + k * (k + 1) / 2;
    return {nullptr, k, int(threadIdx.x % 32), L, inverse, inverse + k, reinterpret_cast<int*>(inverse + 2 * k)};
}

__device__ double warp_sum(double x) {
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
}

__device__ double warp_max(double x) {
    for (int step = 16; step; step /= 2) x = fmax(x, __shfl_xor_sync(ALL, x, step));
    return x;
}

// The smallest x of the warp and the coordinate i where it stands, the first of equals; i < 0 takes no part.
__device__ void warp_first_min(double& x, int& i) {
    for (int step = 16; step; step /= 2) {
        const double other = __shfl_xor_sync(ALL, x, step);
        const int j = __shfl_xor_sync(ALL, i, step);
        if (j >= 0 && (i < 0 || other < x || (other == x && j < i))) x = other, i = j;
    }
}

template <int Q> __device__ int warp_count(const bool (&flag)[Q]) {
    int count = 0;
#pragma unroll
    for (int q = 0; q < Q; ++q) count += __popc(__ballot_sync(ALL, flag[q]));
    return count;
}

// ---------------------------------------------------------------------------------------------- factor and solve on a set

// Numbers the members of a set in ascending order: their count, and in `place` where this lane's own coordinates stand.
template <int Q> __device__ int list_members(const Problem& on, const bool (&in)[Q], int (&place)[Q]) {
    int p = 0;
    __syncwarp();  // somebody may still be reading the list, the values or the factor before this one
#pragma unroll
    for (int q = 0; q < Q; ++q) {
        const unsigned votes = __ballot_sync(ALL, in[q]);
        place[q] = p + __popc(votes & ((1u << on.lane) - 1u));
        if (in[q]) on.member[place[q]] = on.lane + 32 * q;
        p += __popc(votes);
    }
    __syncwarp();
    return p;
}

// Cholesky factor of G among the p listed members, column by column. Dependent columns get the inverse pivot 0, which removes them from
// all that follows. Returns the number of independent ones.
__device__ int factor(const Problem& on, int p) {
    const double tol = 1e-14 * sqrt(double(on.k));
    int kept = 0;
    for (int c = 0; c < p; ++c) {
        const double* row = on.G + on.member[c] * on.k;
        double* column = on.L + c * (2 * p - c - 1) / 2;  // column[i] is L(i, c), for i >= c
        double inverse = 0.0;
        for (int first = c; first < p; first += 32) {     // the same number of rounds for all lanes: they shuffle inside
            const int i = first + on.lane;
            double a = 0.0;
            if (i < p) {
                const double* left = on.L;
                a = row[on.member[i]];
                for (int q = 0; q < c; ++q) {
                    a -= left[i] * left[c];
                    left += p - q - 1;
                }
            }
            if (first == c) {
                const double pivot = __shfl_sync(ALL, a, 0);
                inverse = pivot > tol ? 1.0 / sqrt(pivot) : 0.0;
            }
            if (i < p) column[i] = a * inverse;
        }
        if (on.lane == 0) on.inverse[c] = inverse;
        kept += inverse > 0.0;
        __syncwarp();
    }
    return kept;
}

// y = L'^-1 y for y dealt out to the lanes, where all y behind place `last` are 0.
template <int Q> __device__ void substitute_back(const Problem& on, int p, int last, double (&y)[Q]) {
#pragma unroll
    for (int b = Q - 1; b >= 0; --b)
#pragma unroll 1
        for (int r = min(last, 32 * b + 31); r >= 32 * b; --r) {
            const double t = __shfl_sync(ALL, y[b], r % 32) * on.inverse[r];
#pragma unroll
            for (int q = 0; q <= b; ++q) {
                const int i = on.lane + 32 * q;
                if (i == r) y[q] = t;
                else if (i < r) y[q] -= on.L[i * (2 * p - i - 1) / 2 + r] * t;
            }
        }
}

// y = (L L')^-1 y, by substitution, for y dealt out to the lanes by place in the list; 0 for dependent columns.
template <int Q> __device__ void substitute(const Problem& on, int p, double (&y)[Q]) {
#pragma unroll
    for (int b = 0; b < Q; ++b)
#pragma unroll 1
        for (int r = 32 * b; r < p && r < 32 * b + 32; ++r) {
            const double t = __shfl_sync(ALL, y[b], r % 32) * on.inverse[r];
            const double* column = on.L + r * (2 * p - r - 1) / 2;
#pragma unroll
            for (int q = b; q < Q; ++q) {
                const int i = on.lane + 32 * q;
                if (i == r) y[q] = t;
                else if (i > r && i < p) y[q] -= column[i] * t;
            }
        }
    substitute_back<Q>(on, p, p - 1, y);
}

// x = G[P, P]^-1 b[P] on the listed set P (in, place, p), 0 elsewhere; leaves the values of the members in on.value. Returns how many of
// them are independent, and in `total` the sum of |x|.
template <int Q>
__device__ int solve_on(const Problem& on, int p, const bool (&in)[Q], const int (&place)[Q], const double (&b)[Q], double (&x)[Q], double& total) {
#pragma unroll
    for (int q = 0; q < Q; ++q)
        if (in[q]) on.value[place[q]] = b[q];
    const int kept = factor(on, p);
    double y[Q];
#pragma unroll
    for (int q = 0; q < Q; ++q) y[q] = on.lane + 32 * q < p ? on.value[on.lane + 32 * q] : 0.0;
    substitute<Q>(on, p, y);
    total = 0.0;
#pragma unroll
    for (int q = 0; q < Q; ++q)
        if (on.lane + 32 * q < p) on.value[on.lane + 32 * q] = y[q], total += fabs(y[q]);
    __syncwarp();
#pragma unroll
    for (int q = 0; q < Q; ++q) x[q] = in[q] ? on.value[place[q]] : 0.0;
    total = warp_sum(total);
    return kept;
}

// One guess evaluated: s on the passive set, g = G s - f, and the noise level of g. Returns the number of independent passive columns.
template <int Q>
__device__ int evaluate(const Problem& on, const double (&f)[Q], const bool (&passive)[Q], double (&s)[Q], double (&g)[Q], double& noise) {
    int place[Q];
    double total, top = 0.0;
    const int p = list_members<Q>(on, passive, place);
    const int kept = solve_on<Q>(on, p, passive, place, f, s, total);
#pragma unroll
    for (int q = 0; q < Q; ++q) g[q] = -f[q], top = fmax(top, fabs(f[q]));
    for (int r = 0; r < p; ++r) {
        const double t = on.value[r];
        const double* row = on.G + on.member[r] * on.k;
#pragma unroll
        for (int q = 0; q < Q; ++q)
            if (on.lane + 32 * q < on.k) g[q] += t * row[on.lane + 32 * q];
    }
    noise = ENTRY_ERROR * max(on.k, 4) * (warp_max(top) + total);
    return kept;
}

// ------------------------------------------------------------------------------------------------------------- the solvers

// Kim & Park's exchange rule from the set in `passive`. Returns whether it ended.
template <int Q>
__device__ bool block_pivoting(const Problem& on, const double (&f)[Q], bool (&passive)[Q], double (&s)[Q], double (&g)[Q], double& noise) {
    int fewest = on.k + 1, patience = 3;
    for (int n = 0; n < 5 * on.k + 50; ++n) {
        evaluate<Q>(on, f, passive, s, g, noise);
        bool wrong[Q];
        int bad = 0, last = -1;
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            wrong[q] = passive[q] ? s[q] < 0.0 : g[q] < -noise;
            const unsigned votes = __ballot_sync(ALL, wrong[q]);
            bad += __popc(votes);
            if (votes) last = 32 * q + 31 - __clz(int(votes));
        }
        if (bad == 0) return true;
        if (bad < fewest) fewest = bad, patience = 3;
        else --patience;
#pragma unroll
        for (int q = 0; q < Q; ++q)
            if (wrong[q] && (patience >= 0 || on.lane + 32 * q == last)) passive[q] = !passive[q];
    }
    return false;
}

// Moves s toward target until the first passive coordinate reaches zero, and makes that one active. Returns false if none does.
template <int Q> __device__ bool step_to_boundary(const Problem& on, bool (&passive)[Q], double (&s)[Q], const double (&target)[Q]) {
    double alpha = 1.0;
    int hit = -1;
#pragma unroll
    for (int q = 0; q < Q; ++q)
        if (passive[q] && target[q] <= 0.0) {
            const double a = s[q] > target[q] ? s[q] / (s[q] - target[q]) : 0.0;
            if (hit < 0 || a < alpha) alpha = a, hit = on.lane + 32 * q;
        }
    warp_first_min(alpha, hit);
    if (hit < 0) return false;
#pragma unroll
    for (int q = 0; q < Q; ++q)
        if (passive[q]) {
            s[q] += alpha * (target[q] - s[q]);
            if (s[q] <= 0.0 || on.lane + 32 * q == hit) passive[q] = false, s[q] = 0.0;
        }
    return true;
}

// The coordinate outside that lowers the objective fastest, -1 if none does.
template <int Q> __device__ int steepest(const Problem& on, const bool (&passive)[Q], const bool (&barred)[Q], const double (&g)[Q], double noise) {
    double lowest = 0.0;
    int best = -1;
#pragma unroll
    for (int q = 0; q < Q; ++q)
        if (!passive[q] && !barred[q] && g[q] < -noise && (best < 0 || g[q] < lowest)) lowest = g[q], best = on.lane + 32 * q;
    warp_first_min(lowest, best);
    return best;
}

// Lawson & Hanson from the empty set, for the dependent problems on which block pivoting runs in circles. Returns whether it ended.
template <int Q>
__device__ bool active_set(const Problem& on, const double (&f)[Q], bool (&passive)[Q], double (&s)[Q], double (&g)[Q], double& noise) {
    double target[Q];
    bool barred[Q], newest[Q];  // newest: the coordinate that came in last
#pragma unroll
    for (int q = 0; q < Q; ++q) s[q] = 0.0, passive[q] = barred[q] = newest[q] = false;
    for (int n = 0; n < 30 * on.k + 100; ++n) {
        const int kept = evaluate<Q>(on, f, passive, target, g, noise);
        if (step_to_boundary<Q>(on, passive, s, target)) {
#pragma unroll
            for (int q = 0; q < Q; ++q) barred[q] = barred[q] || (newest[q] && !passive[q]);  // rounding only: not at once again
            continue;
        }
#pragma unroll
        for (int q = 0; q < Q; ++q) s[q] = target[q];
        const int best = steepest<Q>(on, passive, barred, g, noise);
        if (best < 0) return true;
#pragma unroll
        for (int q = 0; q < Q; ++q) newest[q] = on.lane + 32 * q == best, passive[q] = passive[q] || newest[q];
        int place[Q];
        const bool larger = factor(on, list_members<Q>(on, passive, place)) > kept;
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            if (larger) barred[q] = false;
            else if (newest[q]) passive[q] = false, barred[q] = true;  // dependent: cannot lower the objective
        }
    }
    return false;
}

// Whether each of the p listed columns is further from the span of those before it than rounding in G can be: no row of the inverse of L is long.
template <int Q> __device__ bool independent(const Problem& on, int p) {
    if (factor(on, p) < p) return false;
    const double allowed = 1.0 / (ENTRY_ERROR * max(on.k, 4));
    for (int c = 0; c < p; ++c) {
        double y[Q], length = 0.0;
#pragma unroll
        for (int q = 0; q < Q; ++q) y[q] = on.lane + 32 * q == c ? 1.0 : 0.0;
        substitute_back<Q>(on, p, c, y);
#pragma unroll
        for (int q = 0; q < Q; ++q) length += fabs(y[q]);
        length = warp_sum(length);
        if (length * length >= allowed) return false;
    }
    return true;
}

// Clears noise-level coordinates of s; whether zeros could have been positive, and if so, whether the minimizer is unique.
template <int Q> __device__ int classify(const Problem& on, double (&s)[Q], const double (&g)[Q], double noise) {
    bool possible[Q], tied[Q];
#pragma unroll
    for (int q = 0; q < Q; ++q) {
        if (s[q] <= noise) s[q] = 0.0;
        possible[q] = on.lane + 32 * q < on.k && (s[q] > 0.0 || g[q] <= noise);
        tied[q] = possible[q] && s[q] == 0.0;
    }
    if (warp_count<Q>(tied) == 0) return OK;
    int place[Q];
    return independent<Q>(on, list_members<Q>(on, possible, place)) ? TIED : TIED | DEGENERATE;
}

template <int Q> __device__ int attempt(const Problem& on, const double (&f)[Q], bool (&passive)[Q], double (&s)[Q]) {
    double g[Q], noise = 0.0;
    const bool done = block_pivoting<Q>(on, f, passive, s, g, noise) || active_set<Q>(on, f, passive, s, g, noise);
    const int status = classify<Q>(on, s, g, noise);
    return done ? status : status | NOT_CONVERGED;
}

// ------------------------------------------------------------------------------------------------------------- the kernels

// Beyond k = 128 shared memory has room for one warp a block (cuda_kernels.launch_of), which may then have all registers.

// Point j: min_{s >= 0} s'G s/2 - f's with f = F[j] D, and S[j] = D s. G: g x k x k of unit diagonal, unit: g x k, the diagonals of D;
// point j uses number gram_of[j], or 0 if `shared_gram`. F, S0: m x k (S0 is read if `warm`, for its support), S: m x k, status: m.
template <class T, int Q>
__global__ void __launch_bounds__(Q > 4 ? 32 : 256) solve_points(const double* G, const double* unit, const int64* gram_of, const T* F, const T* S0,
                                                    double* S, int64* status, int k, int64 m, int shared_gram, int warm) {
    extern __shared__ double shared[];
    Problem on = problem_of_warp(shared, k);
    const int warps = blockDim.x / 32;
    for (int64 j = int64(blockIdx.x) * warps + threadIdx.x / 32; j < m; j += int64(gridDim.x) * warps) {
        const int64 which = shared_gram ? 0 : gram_of[j];
        on.G = G + which * k * k;
        double f[Q], s[Q];
        bool passive[Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            const int i = on.lane + 32 * q;
            f[q] = i < k ? double(F[j * k + i]) * unit[which * k + i] : 0.0;
            passive[q] = warm ? i < k && S0[j * k + i] > T(0) : f[q] > 0.0;
        }
        int bits = DEGENERATE;
        for (int turn = 0; turn <= warm && (bits & DEGENERATE); ++turn) {
#pragma unroll
            for (int q = 0; q < Q; ++q)  // a degenerate point again, cold: the answer shall depend on G and f alone
                if (turn == 1) passive[q] = f[q] > 0.0;
            bits = attempt<Q>(on, f, passive, s);
        }
#pragma unroll
        for (int q = 0; q < Q; ++q)
            if (on.lane + 32 * q < k) S[j * k + on.lane + 32 * q] = s[q] * unit[which * k + on.lane + 32 * q];
        if (on.lane == 0) status[j] = bits;
    }
}

// Point j: Z[j] = D z with z = G[P, P]^-1 (U[j] D)[P] on the support P of S[j], 0 elsewhere. Arguments as in solve_points.
template <class T, int Q>
__global__ void __launch_bounds__(Q > 4 ? 32 : 256) adjoint_points(const double* G, const double* unit, const int64* gram_of, const T* S, const T* U,
                                                      double* Z, int k, int64 m, int shared_gram) {
    extern __shared__ double shared[];
    Problem on = problem_of_warp(shared, k);
    const int warps = blockDim.x / 32;
    for (int64 j = int64(blockIdx.x) * warps + threadIdx.x / 32; j < m; j += int64(gridDim.x) * warps) {
        const int64 which = shared_gram ? 0 : gram_of[j];
        on.G = G + which * k * k;
        double u[Q], z[Q], total;
        bool support[Q];
        int place[Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            const int i = on.lane + 32 * q;
            u[q] = i < k ? double(U[j * k + i]) * unit[which * k + i] : 0.0;
            support[q] = i < k && S[j * k + i] > T(0);
        }
        const int p = list_members<Q>(on, support, place);
        solve_on<Q>(on, p, support, place, u, z, total);
#pragma unroll
        for (int q = 0; q < Q; ++q)
            if (on.lane + 32 * q < k) Z[j * k + on.lane + 32 * q] = z[q] * unit[which * k + on.lane + 32 * q];
    }
}
