// Fused element-wise kernels for train.py (compiled by it with g++, called through ctypes).
// Matrix products stay in torch (bfloat16, oneDNN); these do everything around them.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

using bf = uint16_t;
static inline float F(bf x) {
  uint32_t u = uint32_t(x) << 16;
  float r;
  std::memcpy(&r, &u, 4);
  return r;
}
static inline bf B(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return bf((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

struct Acc {  // per-thread sums of a weight gradient
  std::vector<float> v;
  explicit Acc(long n) : v(n) {}
  void add_to(float* out) {
#pragma omp critical
    for (size_t i = 0; i < v.size(); i++) out[i] += v[i];
  }
};

extern "C" {

// xn = x + d;  y = rmsnorm(xn) * w;  d may be null
void add_rms_fwd(const float* x, const bf* d, const float* w, float eps, long n, long h, float* xn, bf* y,
                 float* r) {
#pragma omp parallel for
  for (long i = 0; i < n; i++) {
    const float* xi = x + i * h;
    float *o = xn + i * h, s = 0;
    if (d)
      for (long j = 0; j < h; j++) {
        float v = xi[j] + F(d[i * h + j]);
        o[j] = v;
        s += v * v;
      }
    else
      for (long j = 0; j < h; j++) {
        float v = xi[j];
        o[j] = v;
        s += v * v;
      }
    float ri = r[i] = 1 / std::sqrt(s / h + eps);
    for (long j = 0; j < h; j++) y[i * h + j] = B(o[j] * ri * w[j]);
  }
}

// dx = gx + d(rmsnorm);  dd = bfloat16(dx);  gx and dd may be null
void add_rms_bwd(const float* gx, const bf* gy, const float* xn, const float* w, const float* r, long n,
                 long h, float* dx, bf* dd, float* dw) {
#pragma omp parallel
  {
    Acc acc(h);
    float* a = acc.v.data();
#pragma omp for
    for (long i = 0; i < n; i++) {
      const float *x = xn + i * h, ri = r[i];
      const bf* g = gy + i * h;
      float *o = dx + i * h, c = 0;
      for (long j = 0; j < h; j++) {
        float t = F(g[j]) * x[j] * ri;
        a[j] += t;
        c += t * w[j];
      }
      c /= h;
      if (gx)
        for (long j = 0; j < h; j++) o[j] = gx[i * h + j] + (F(g[j]) * w[j] - x[j] * ri * c) * ri;
      else
        for (long j = 0; j < h; j++) o[j] = (F(g[j]) * w[j] - x[j] * ri * c) * ri;
      if (dd)
        for (long j = 0; j < h; j++) dd[i * h + j] = B(o[j]);
    }
    acc.add_to(dw);
  }
}

// qkv [B*T, (nh+2nk)*D] -> q [B,nh,T,D] and k [B,nk,T,D] (normed per head, rotated; q scaled), v [B,nk,T,D]
void qk_rope_fwd(const bf* qkv, const float* qn, const float* kn, const float* cs, const float* sn, float eps,
                 float scale, long Bn, long T, long nh, long nk, long D, bf* q, bf* k, bf* v, float* r) {
  const long tot = nh + 2 * nk, hf = D / 2;
#pragma omp parallel for
  for (long i = 0; i < Bn * T; i++) {
    const long b = i / T, t = i % T;
    const float *c = cs + t * hf, *s = sn + t * hf;
    for (long h = 0; h < tot; h++) {
      const bf* x = qkv + (i * tot + h) * D;
      if (h >= nh + nk) {
        std::memcpy(v + ((b * nk + h - nh - nk) * T + t) * D, x, D * 2);
        continue;
      }
      const bool isq = h < nh;
      const float* w = isq ? qn : kn;
      bf* o = isq ? q + ((b * nh + h) * T + t) * D : k + ((b * nk + h - nh) * T + t) * D;
      float ss = 0;
      for (long j = 0; j < D; j++) ss += F(x[j]) * F(x[j]);
      float ri = r[i * (nh + nk) + h] = 1 / std::sqrt(ss / D + eps);
      if (isq) ri *= scale;
      for (long j = 0; j < hf; j++) {
        float a = F(x[j]) * ri * w[j], e = F(x[j + hf]) * ri * w[j + hf];
        o[j] = B(a * c[j] - e * s[j]);
        o[j + hf] = B(e * c[j] + a * s[j]);
      }
    }
  }
}

void qk_rope_bwd(const bf* dq, const bf* dk, const bf* dv, const bf* qkv, const float* qn, const float* kn,
                 const float* cs, const float* sn, const float* r, float scale, long Bn, long T, long nh,
                 long nk, long D, bf* dqkv, float* dqn, float* dkn) {
  const long tot = nh + 2 * nk, hf = D / 2;
#pragma omp parallel
  {
    Acc aq(D), ak(D);
    std::vector<float> g(D);
#pragma omp for
    for (long i = 0; i < Bn * T; i++) {
      const long b = i / T, t = i % T;
      const float *c = cs + t * hf, *s = sn + t * hf;
      for (long h = 0; h < tot; h++) {
        const bf* x = qkv + (i * tot + h) * D;
        bf* o = dqkv + (i * tot + h) * D;
        if (h >= nh + nk) {
          std::memcpy(o, dv + ((b * nk + h - nh - nk) * T + t) * D, D * 2);
          continue;
        }
        const bool isq = h < nh;
        const float* w = isq ? qn : kn;
        float* aw = isq ? aq.v.data() : ak.v.data();
        const bf* go = isq ? dq + ((b * nh + h) * T + t) * D : dk + ((b * nk + h - nh) * T + t) * D;
        const float ri = r[i * (nh + nk) + h], sc = isq ? scale : 1;
        for (long j = 0; j < hf; j++) {
          float a = F(go[j]) * sc, e = F(go[j + hf]) * sc;
          g[j] = a * c[j] + e * s[j];
          g[j + hf] = e * c[j] - a * s[j];
        }
        float m = 0;
        for (long j = 0; j < D; j++) {
          float u = g[j] * F(x[j]) * ri;
          aw[j] += u;
          m += u * w[j];
        }
        m /= D;
        for (long j = 0; j < D; j++) o[j] = B((g[j] * w[j] - F(x[j]) * ri * m) * ri);
      }
    }
    aq.add_to(dqn);
    ak.add_to(dkn);
  }
}

// causal softmax in place on rows of length T; row i may see columns 0 .. i % T
void softmax_fwd(bf* s, long rows, long T) {
#pragma omp parallel
  {
    std::vector<float> buf(T);
    float* e = buf.data();
#pragma omp for
    for (long i = 0; i < rows; i++) {
      bf* p = s + i * T;
      const long n = i % T + 1;
      float m = -1e30f, z = 0;
      for (long j = 0; j < n; j++) {
        e[j] = F(p[j]);
        m = e[j] > m ? e[j] : m;
      }
      for (long j = 0; j < n; j++) {
        e[j] = expf(e[j] - m);
        z += e[j];
      }
      z = 1 / z;
      for (long j = 0; j < n; j++) p[j] = B(e[j] * z);
      for (long j = n; j < T; j++) p[j] = 0;
    }
  }
}

void softmax_bwd(const bf* p, bf* dp, long rows, long T) {
#pragma omp parallel for
  for (long i = 0; i < rows; i++) {
    const bf* a = p + i * T;
    bf* d = dp + i * T;
    const long n = i % T + 1;
    float c = 0;
    for (long j = 0; j < n; j++) c += F(a[j]) * F(d[j]);
    for (long j = 0; j < n; j++) d[j] = B(F(a[j]) * (F(d[j]) - c));
    for (long j = n; j < T; j++) d[j] = 0;
  }
}

void swiglu_fwd(const bf* gu, long n, long h, bf* a) {
#pragma omp parallel for
  for (long i = 0; i < n; i++) {
    const bf *g = gu + i * 2 * h, *u = g + h;
    for (long j = 0; j < h; j++) {
      float x = F(g[j]);
      a[i * h + j] = B(x / (1 + expf(-x)) * F(u[j]));
    }
  }
}

void swiglu_bwd(const bf* gu, const bf* da, long n, long h, bf* dgu) {
#pragma omp parallel for
  for (long i = 0; i < n; i++) {
    const bf *g = gu + i * 2 * h, *u = g + h, *d = da + i * h;
    bf* o = dgu + i * 2 * h;
    for (long j = 0; j < h; j++) {
      float x = F(g[j]), s = 1 / (1 + expf(-x)), y = F(d[j]);
      o[j] = B(y * F(u[j]) * s * (1 + x * (1 - s)));
      o[j + h] = B(y * x * s);
    }
  }
}

// dest[n*K + k]: the row of the expert-sorted buffer that holds token n's k-th expert; unused rows are zero
void moe_scatter(const bf* x, const long* dest, long n, long K, long h, bf* xs) {
#pragma omp parallel for
  for (long i = 0; i < n * K; i++) std::memcpy(xs + dest[i] * h, x + i / K * h, h * 2);
}

void moe_combine(const bf* y, const float* w, const long* dest, long n, long K, long h, bf* out) {
#pragma omp parallel
  {
    std::vector<float> buf(h);
    float* a = buf.data();
#pragma omp for
    for (long i = 0; i < n; i++) {
      for (long j = 0; j < h; j++) a[j] = 0;
      for (long k = 0; k < K; k++) {
        const float wk = w[i * K + k];
        const bf* s = y + dest[i * K + k] * h;
        for (long j = 0; j < h; j++) a[j] += wk * F(s[j]);
      }
      for (long j = 0; j < h; j++) out[i * h + j] = B(a[j]);
    }
  }
}

void moe_combine_bwd(const bf* g, const bf* y, const float* w, const long* dest, long n, long K, long h,
                     bf* dy, float* dw) {
#pragma omp parallel for
  for (long i = 0; i < n * K; i++) {
    const bf *gi = g + i / K * h, *yi = y + dest[i] * h;
    bf* o = dy + dest[i] * h;
    const float wk = w[i];
    float s = 0;
    for (long j = 0; j < h; j++) {
      float t = F(gi[j]);
      s += t * F(yi[j]);
      o[j] = B(wk * t);
    }
    dw[i] = s;
  }
}
}
