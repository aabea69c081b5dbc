// The kernels as a shared library, and as a program when -DEMULATE_THREADS is given: see tests/standin.py, which builds both.
#include "emulator.h"

#include "nnls.cu"

#include <map>
#include <string>
#include <tuple>
#include <utility>

// ------------------------------------------------------------------------------------------------ kernels by name, as CuPy has them

template <class T> std::string kind() {
    using V = std::remove_const_t<std::remove_pointer_t<T>>;
    const char letter = std::is_same_v<V, float> ? 'f' : std::is_same_v<V, double> ? 'd' : std::is_same_v<V, int> ? 'i' : 'q';
    return std::string(1, letter) + (std::is_pointer_v<T> ? "*" : "");
}

struct Entry {
    std::string signature;
    std::function<void(void**)> call;
};

template <class... A> Entry entry(void (*kernel)(A...)) {
    std::string signature;
    ((signature += kind<A>() + " "), ...);
    return {signature, [kernel](void** a) {
                [&]<size_t... I>(std::index_sequence<I...>) { kernel(*static_cast<A*>(a[I])...); }(std::index_sequence_for<A...>());
            }};
}

template <class T, int Q> void add(std::map<std::string, Entry>& table, const std::string& variant) {
    table["solve_points<" + variant + ">"] = entry(solve_points<T, Q>);
    table["adjoint_points<" + variant + ">"] = entry(adjoint_points<T, Q>);
}

static const std::map<std::string, Entry>& kernels() {
    static const auto all = [] {
        std::map<std::string, Entry> table;
        add<float, 1>(table, "float, 1"), add<float, 2>(table, "float, 2"), add<float, 4>(table, "float, 4"), add<float, 8>(table, "float, 8");
        add<double, 1>(table, "double, 1"), add<double, 2>(table, "double, 2"), add<double, 4>(table, "double, 4"), add<double, 8>(table, "double, 8");
        return table;
    }();
    return all;
}

// Types of the arguments, one word each ("d*" is a pointer to double), or null for a kernel that does not exist.
extern "C" const char* signature(const char* name) {
    const auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : found->second.signature.c_str();
}

extern "C" void launch(const char* name, unsigned grid, unsigned block, size_t bytes, void** arguments) {
    const auto& call = kernels().at(name).call;
    emulator::launch(grid, block, bytes, [&] { call(arguments); });
}

extern "C" void leave_out(int line) { emulator::deleted = line; }

// The solver behind block pivoting, by itself: well-behaved problems never reach it.
template <int Q> void active_set_kernel(const double* G, const double* F, double* S, int* done, int k, int m) {
    Problem on = problem_of_warp(shared, k);
    on.G = G;
    for (int j = 0; j < m; ++j) {
        double f[Q], s[Q], g[Q], noise;
        bool passive[Q];
        for (int q = 0; q < Q; ++q) f[q] = on.lane + 32 * q < k ? F[j * k + on.lane + 32 * q] : 0.0;
        const bool ended = active_set<Q>(on, f, passive, s, g, noise);
        for (int q = 0; q < Q; ++q)
            if (on.lane + 32 * q < k) S[j * k + on.lane + 32 * q] = s[q];
        if (on.lane == 0) done[j] = ended;
    }
}

extern "C" void active_set_alone(size_t bytes, const double* G, const double* F, double* S, int* done, int k, int m) {
    emulator::launch(1, 32, bytes, [=] { k <= 32 ? active_set_kernel<1>(G, F, S, done, k, m) : active_set_kernel<2>(G, F, S, done, k, m); });
}

#ifdef EMULATE_THREADS

// Argument: the line of the __syncwarp to leave out, 0 for none. Two warps, warm and cold, with ties and a repeated column, k = 6 and 35.
int main(int, char** argv) {
    emulator::deleted = std::atoi(argv[1]);
    unsigned state = 1;
    const auto random = [&state] { return state = state * 1664525u + 1013904223u, (state >> 8) / double(1 << 24); };
    for (int k : {6, 35}) {
        const int n = k + 4, m = 4;
        std::vector<double> A(n * k), X(n * m), G(k * k), unit(k, 1.0), F(m * k), S(m * k), Z(m * k);
        for (auto& a : A) a = random();
        for (auto& x : X) x = random() - 0.2;
        for (int i = 0; i < n; ++i) A[i * k + k - 1] = A[i * k];
        for (int a = 0; a < k; ++a) {
            double length = 0.0;
            for (int i = 0; i < n; ++i) length += A[i * k + a] * A[i * k + a];
            for (int i = 0; i < n; ++i) A[i * k + a] /= std::sqrt(length);
        }
        for (int a = 0; a < k; ++a)
            for (int b = 0; b < k; ++b)
                for (int i = 0; i < n; ++i) G[a * k + b] += A[i * k + a] * A[i * k + b];
        for (int j = 0; j < m; ++j)
            for (int a = 0; a < k; ++a)
                for (int i = 0; i < n; ++i) F[j * k + a] += X[i * m + j] * A[i * k + a];
        std::vector<long long> which(m, 0), status(m);
        const size_t bytes = 2 * 8 * (k * (k + 1) / 2 + 2 * k + (k + 1) / 2);
        for (int warm : {0, 1})
            emulator::launch(1, 64, bytes, [&] {
                k <= 32 ? solve_points<double, 1>(G.data(), unit.data(), which.data(), F.data(), F.data(), S.data(), status.data(), k, m, 0, warm)
                        : solve_points<double, 2>(G.data(), unit.data(), which.data(), F.data(), F.data(), S.data(), status.data(), k, m, 0, warm);
            });
        emulator::launch(1, 64, bytes, [&] {
            k <= 32 ? adjoint_points<double, 1>(G.data(), unit.data(), which.data(), S.data(), F.data(), Z.data(), k, m, 1)
                    : adjoint_points<double, 2>(G.data(), unit.data(), which.data(), S.data(), F.data(), Z.data(), k, m, 1);
        });
        std::vector<int> done(m);
        active_set_alone(bytes, G.data(), F.data(), S.data(), done.data(), k, m);
        for (int j = 0; j < m; ++j) std::printf("%lld ", status[j]);
    }
    std::printf("\n");
}

#endif
