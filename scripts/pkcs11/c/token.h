// What these programs share: a module loaded by dlopen, the slot of a token, and a P-256 key pair. Each program takes
// MODULE, PIN and the token's label, prints what it saw, and ends with 1 at the first thing that is not as it must be.
#ifndef TOKEN_H
#define TOKEN_H
#define _GNU_SOURCE
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_FUNCTION_LIST *token_calls;
static CK_SLOT_ID token_slot;
static const char *token_pin, *token_label;
static CK_BBOOL yes = CK_TRUE;
static CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};

// wanted(WHAT, GOT, WANT): prints a line; anything else than WANT ends the program.
static void wanted(const char *what, CK_RV got, CK_RV want)
{
    printf("%s: 0x%lx%s\n", what, got, got == want ? "" : " FAIL");
    if (got != want)
        _exit(1);
}
#define MUST(call) wanted(#call, (call), CKR_OK)
// quiet(CALL): the same without a line unless it fails.
#define QUIET(call)                                                                                                    \
    do {                                                                                                               \
        CK_RV quiet_rv = (call);                                                                                       \
        if (quiet_rv != CKR_OK)                                                                                        \
            wanted(#call, quiet_rv, CKR_OK);                                                                           \
    } while (0)

static void token_load(char **words)
{
    setbuf(stdout, NULL);
    void *module = dlopen(words[1], RTLD_NOW);
    if (!module) {
        puts(dlerror());
        exit(1);
    }
    CK_RV (*list)(CK_FUNCTION_LIST **) = (CK_RV(*)(CK_FUNCTION_LIST **))dlsym(module, "C_GetFunctionList");
    QUIET(list(&token_calls));
    token_pin = words[2];
    token_label = words[3];
}

static void token_find(void)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    QUIET(token_calls->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        QUIET(token_calls->C_GetTokenInfo(slots[i], &info));
        if (!strncmp((char *)info.label, token_label, strlen(token_label))) {
            token_slot = slots[i];
            return;
        }
    }
    printf("no token %s\n", token_label);
    _exit(1);
}

static void token_initialize(void)
{
    CK_RV rv = token_calls->C_Initialize(NULL);
    if (rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
        wanted("C_Initialize", rv, CKR_OK);
    token_find();
}

static inline CK_SESSION_HANDLE token_session(void)
{
    CK_SESSION_HANDLE session;
    QUIET(token_calls->C_OpenSession(token_slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    CK_RV rv = token_calls->C_Login(session, CKU_USER, (CK_BYTE *)token_pin, strlen(token_pin));
    if (rv != CKR_USER_ALREADY_LOGGED_IN && rv != CKR_OK)
        wanted("C_Login", rv, CKR_OK);
    return session;
}

static inline CK_RV token_generate(CK_SESSION_HANDLE session, CK_BBOOL on_token, CK_ULONG id, CK_OBJECT_HANDLE *public_key,
                                   CK_OBJECT_HANDLE *private_key)
{
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public_half[] = {{CKA_TOKEN, &on_token, 1},
                                  {CKA_EC_PARAMS, p256, sizeof p256},
                                  {CKA_ID, &id, sizeof id},
                                  {CKA_VERIFY, &yes, 1}};
    CK_ATTRIBUTE private_half[] = {{CKA_TOKEN, &on_token, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1},
                                   {CKA_SIGN, &yes, 1},       {CKA_ID, &id, sizeof id}};
    return token_calls->C_GenerateKeyPair(session, &mechanism, public_half, 4, private_half, 5, public_key, private_key);
}

// How many private keys have this id; the first of them in `found`.
static inline CK_ULONG token_search(CK_SESSION_HANDLE session, CK_ULONG id, CK_OBJECT_HANDLE *found)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, &id, sizeof id}};
    CK_OBJECT_HANDLE objects[500];
    CK_ULONG count = 0;
    QUIET(token_calls->C_FindObjectsInit(session, template, 2));
    QUIET(token_calls->C_FindObjects(session, objects, 500, &count));
    QUIET(token_calls->C_FindObjectsFinal(session));
    *found = count ? objects[0] : CK_INVALID_HANDLE;
    return count;
}

static inline CK_RV token_sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1}, signature[128];
    CK_ULONG bytes = sizeof signature;
    CK_RV rv = token_calls->C_SignInit(session, &mechanism, key);
    return rv ? rv : token_calls->C_Sign(session, digest, sizeof digest, signature, &bytes);
}

// Waits for a child and says how it ended.
static inline void token_wait(const char *what, pid_t child)
{
    int status;
    waitpid(child, &status, 0);
    if (status) {
        printf("%s: status 0x%x FAIL\n", what, (unsigned)status);
        exit(1);
    }
}
#endif
