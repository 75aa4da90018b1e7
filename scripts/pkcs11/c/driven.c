// An application that stays, driven by lines on its standard input: MODULE PIN LABEL. Each line gets one line of answer,
// `ok` with what it asked for or `failed` with the CK_RV.
//
//     open               C_OpenSession and C_Login        session            the same without a login
//     find ID            handles of the private keys with this id, in hex digits
//     generate ID        a P-256 token pair
//     sign HANDLE        a raw P-256 signature over the digest 01 02 03 ..., in hex
//     destroy HANDLE     C_DestroyObject
//     random             C_GenerateRandom
//     sign-for MS HANDLE signatures for so long; how many, and how many failed
//     again              C_Finalize and C_Initialize
#include "token.h"
#include <time.h>

static CK_SESSION_HANDLE session;

static void answer(CK_RV rv, const char *text)
{
    if (rv == CKR_OK)
        printf("ok %s\n", text);
    else
        printf("failed 0x%lx\n", rv);
}

static CK_RV sign(CK_OBJECT_HANDLE key, char *text)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32], signature[128];
    CK_ULONG bytes = sizeof signature;
    for (int i = 0; i < 32; i++)
        digest[i] = i + 1;
    CK_RV rv = token_calls->C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = token_calls->C_Sign(session, digest, sizeof digest, signature, &bytes);
    for (CK_ULONG i = 0; rv == CKR_OK && i < bytes; i++)
        sprintf(text + 2 * i, "%02x", signature[i]);
    return rv;
}

static CK_RV find(CK_BYTE id, char *text)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, &id, 1}};
    CK_OBJECT_HANDLE objects[16];
    CK_ULONG count = 0;
    CK_RV rv = token_calls->C_FindObjectsInit(session, template, 2);
    if (rv == CKR_OK)
        rv = token_calls->C_FindObjects(session, objects, 16, &count);
    if (rv == CKR_OK)
        rv = token_calls->C_FindObjectsFinal(session);
    for (CK_ULONG i = 0; i < count; i++)
        text += sprintf(text, "%lu ", objects[i]);
    return rv;
}

static CK_RV generate(CK_BYTE id, char *text)
{
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_key, private_key;
    CK_ATTRIBUTE public_half[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}, {CKA_ID, &id, 1}};
    CK_ATTRIBUTE private_half[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_ID, &id, 1}};
    CK_RV rv = token_calls->C_GenerateKeyPair(session, &mechanism, public_half, 3, private_half, 4, &public_key, &private_key);
    sprintf(text, "%lu", private_key);
    return rv;
}

static CK_RV sign_for(long ms, CK_OBJECT_HANDLE key, char *text)
{
    struct timespec start, now;
    unsigned long done = 0, failed = 0;
    char signature[257];
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (sign(key, signature) == CKR_OK)
            done++;
        else
            failed++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    sprintf(text, "%lu %lu", done, failed);
    return CKR_OK;
}

static CK_RV open_session(int with_login)
{
    CK_RV rv = token_calls->C_OpenSession(token_slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv == CKR_OK && with_login) {
        rv = token_calls->C_Login(session, CKU_USER, (CK_BYTE *)token_pin, strlen(token_pin));
        if (rv == CKR_USER_ALREADY_LOGGED_IN)
            rv = CKR_OK;
    }
    return rv;
}

int main(int count, char **words)
{
    (void)count;
    token_load(words);
    token_initialize();
    char line[128], text[512];
    unsigned long number, key;
    while (fgets(line, sizeof line, stdin)) {
        CK_BYTE random[32];
        text[0] = 0;
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "open"))
            answer(open_session(1), text);
        else if (!strcmp(line, "session"))
            answer(open_session(0), text);
        else if (sscanf(line, "find %lx", &number) == 1)
            answer(find(number, text), text);
        else if (sscanf(line, "generate %lx", &number) == 1)
            answer(generate(number, text), text);
        else if (sscanf(line, "sign %lu", &number) == 1)
            answer(sign(number, text), text);
        else if (sscanf(line, "sign-for %lu %lu", &number, &key) == 2)
            answer(sign_for(number, key, text), text);
        else if (sscanf(line, "destroy %lu", &number) == 1)
            answer(token_calls->C_DestroyObject(session, number), text);
        else if (!strcmp(line, "random"))
            answer(token_calls->C_GenerateRandom(session, random, sizeof random), text);
        else if (!strcmp(line, "again")) {
            CK_RV rv = token_calls->C_Finalize(NULL);
            answer(rv ? rv : token_calls->C_Initialize(NULL), text);
        } else
            puts("failed what");
    }
    return token_calls->C_Finalize(NULL) != CKR_OK;
}
