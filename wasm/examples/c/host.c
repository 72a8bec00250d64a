/* A host of load-balancing plugins in C: the module is compiled in by wasm2c; plays transcripts against it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"

typedef unsigned long long Number;

static char line[1 << 24], texts[1 << 22];
static Z_balance_instance_t guest;
static long passed, failed;

static unsigned char *at_place(u32 place) { return Z_balanceZ_memory(&guest)->data + place; }

static u32 place(const void *bytes, size_t length) {
  u32 at = length ? Z_balanceZ_lb_alloc(&guest, length) : 0;
  if (length) memcpy(at_place(at), bytes, length);
  return at;
}

static void expect(uint64_t got, uint64_t wanted) {
  if (got == wanted) passed++;
  else if (++failed < 10) printf("expected %" PRIi64 ", got %" PRIi64 ": %.200s\n", wanted, got, line);
}

/* Strings of a table: where the next begins, how many there are. */
static u32 used, strings, ends[1 << 16];

static u32 text(const char *word) {
  if (!strcmp(word, "-")) return 0;
  memcpy(texts + used, word, strlen(word));
  ends[strings] = used += strlen(word);
  return strings++;
}

/* Writes instances as wasm/ABI.md lays them out, from the next lines. */
static size_t table(FILE *file, u32 count, unsigned char *out) {
  unsigned char *to = out + 64 * count + 8;
  memset(out, 0, 64 * count);
  used = 0, strings = 1, ends[0] = 0;
  for (u32 i = 0; i < count; i++) {
    char id[256], zone[256], cluster[256];
    Number hash, joined, flags;
    unsigned char *record = out + 64 * i;
    double weight;
    if (fscanf(file, "r %255s %llu %lf %llu %255s %255s %llu\n", id, &hash, &weight, &joined, zone, cluster, &flags) != 7) exit(2);
    u32 words[] = {text(zone), text(cluster), flags};
    u32 name = text(id);
    memcpy(record, &hash, 8), memcpy(record + 8, &weight, 8), memcpy(record + 16, &joined, 8);
    memcpy(record + 24, words, 12), memcpy(record + 56, &name, 4);
  }
  u32 first = to - out + 8 * strings, head[] = {8 + 8 * strings + used, strings};
  memcpy(to - 8, head, 8);
  for (u32 i = 0; i < strings; i++, to += 8) {
    u32 from = i ? ends[i - 1] : 0, entry[] = {first + from, ends[i] - from};
    memcpy(to, entry, 8);
  }
  memcpy(to, texts, used);
  return to + used - out;
}

int main(int count, char **arguments) {
  FILE *file = fopen(arguments[count - 1], "r");
  static unsigned char buffer[1 << 23];
  u32 list = 0;
  Number a, b, c, d;
  long long wanted;
  wasm_rt_init();
  Z_balance_init_module();
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "init ", 5)) {
      Z_balance_instantiate(&guest); /* The one before is left to the end of the program. */
      expect(Z_balanceZ_lb_init(&guest, place(line + 5, strlen(line + 5)), strlen(line + 5)), 0);
    } else if (sscanf(line, "list %llu %llu", &a, &b) == 2) {
      size_t length = table(file, b, buffer);
      list = place(buffer, length);
      expect(Z_balanceZ_lb_update(&guest, list, b, a), 0);
    } else if (sscanf(line, "flags %llu %llu", &a, &b) == 2) {
      u32 flags = b;
      memcpy(at_place(list + 64 * a + 32), &flags, 4);
    } else if (!strncmp(line, "draws ", 6)) {
      size_t length = 0;
      for (char *hex = line + 6; sscanf(hex, "%2hhx", &buffer[length]) == 1 && *hex != '-' && *hex != ' '; hex += 2) length++;
      expect((int32_t)Z_balanceZ_lb_draws(&guest, place(buffer, length), length), atoll(strrchr(line, ' ')));
    } else if (sscanf(line, "pick %llu %llu %llu %llu %lld", &a, &b, &c, &d, &wanted) == 5) {
      expect((int32_t)Z_balanceZ_lb_choose(&guest, a, b, c, d), wanted);
    } else if (sscanf(line, "many %llu %llu %llu %llu", &a, &b, &c, &d) == 4) {
      uint64_t sum = 0;
      for (Number i = 0; i < a; i++, b += 0xd1342543de82ef95)
        sum += (i % 1000 + 1) * (uint64_t)((int32_t)Z_balanceZ_lb_choose(&guest, 0, b, c, 0) + 2);
      expect(sum, d);
    } else if (sscanf(line, "start %llu %llu", &a, &b) == 2) {
      Z_balanceZ_lb_start(&guest, a, b);
    } else if (sscanf(line, "report %llu %llu %llu %llu", &a, &b, &c, &d) == 4) {
      Z_balanceZ_lb_report(&guest, a, b, c, d);
    }
  }
  printf("%ld passed, %ld failed\n", passed, failed);
  return failed > 0;
}
