// Predict the emotion of one recording, one text or both with an exported graph, in C++:
//
//     g++ -std=c++17 -O2 predict.cpp -o predict -I$ORT/include -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib
//     ./predict model.onnx speech.wav
//     ./predict model.onnx speech.wav 101 2023 2003 102
//     ./predict model.onnx - 101 2023 2003 102
//
// ORT is the folder of an ONNX Runtime release. The ids are those of text/tokenizer.json, between
// first_token and last_token of model.yaml. Prints the labels and their logits as JSON.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

template <typename T>
T read_number(const std::vector<char>& bytes, size_t at) {
  if (at + sizeof(T) > bytes.size()) throw std::runtime_error("the recording is truncated");
  T number;
  std::memcpy(&number, bytes.data() + at, sizeof(T));
  return number;
}

// Return the samples of a mono WAV file at 16 kHz in [-1, 1]; 16-bit integers or 32-bit floats.
std::vector<float> read_mono_16k(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
  uint16_t format = 0, channels = 0, bits = 0;
  uint32_t rate = 0;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const std::string name(&bytes[at], 4);
    const auto size = read_number<uint32_t>(bytes, at + 4);
    const size_t body = at + 8;
    if (name == "fmt ") {
      format = read_number<uint16_t>(bytes, body);
      channels = read_number<uint16_t>(bytes, body + 2);
      rate = read_number<uint32_t>(bytes, body + 4);
      bits = read_number<uint16_t>(bytes, body + 14);
    }
    if (name == "data") {
      const bool is_float = format == 3 && bits == 32;
      if (channels != 1 || rate != 16000 || !(is_float || (format == 1 && bits == 16))) break;
      std::vector<float> samples(size / (bits / 8));
      for (size_t n = 0; n < samples.size(); ++n) {
        samples[n] = is_float ? read_number<float>(bytes, body + 4 * n)
                              : read_number<int16_t>(bytes, body + 2 * n) / 32768.0f;
      }
      return samples;
    }
    at = body + size + size % 2;
  }
  throw std::runtime_error(file + ": no mono WAV file at 16 kHz of 16-bit integers or 32-bit floats");
}

// One row of a modality. Tensors refer to its members, so that it must live as long as they do.
template <typename T>
struct Row {
  std::vector<T> content;
  bool present;
  std::unique_ptr<bool[]> padding = std::make_unique<bool[]>(content.size());  // false: none
  int64_t shape[2] = {1, static_cast<int64_t>(content.size())};
  int64_t one[1] = {1};

  Ort::Value tensor(const std::string& name, const Ort::MemoryInfo& memory) {
    const size_t size = content.size();
    if (name == "padding_mask") return Ort::Value::CreateTensor<bool>(memory, padding.get(), size, shape, 2);
    if (name == "present") return Ort::Value::CreateTensor<bool>(memory, &present, 1, one, 1);
    return Ort::Value::CreateTensor<T>(memory, content.data(), size, shape, 2);
  }
};

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("give a graph, a recording or -, and the ids of a text");
  const bool has_speech = std::string(argv[2]) != "-", has_text = argc > 3;
  std::vector<int64_t> ids;
  for (int n = 3; n < argc; ++n) ids.push_back(std::stoll(argv[n]));
  // The content of what a row lacks is not used, but has to be there.
  Row<float> speech{has_speech ? read_mono_16k(argv[2]) : std::vector<float>(400), has_speech};
  Row<int64_t> text{has_text ? ids : std::vector<int64_t>(2), has_text};

  Ort::Env env;
  Ort::Session session(env, argv[1], Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<std::string> names;
  std::vector<Ort::Value> inputs;
  for (size_t n = 0; n < session.GetInputCount(); ++n) {
    names.push_back(session.GetInputNameAllocated(n, allocator).get());
    const std::string modality = names.back().substr(0, names.back().find('.'));
    const std::string part = names.back().substr(modality.size() + 1);
    inputs.push_back(modality == "text" ? text.tensor(part, memory) : speech.tensor(part, memory));
  }
  std::vector<const char*> input_names;
  for (const std::string& name : names) input_names.push_back(name.c_str());
  const char* output_names[] = {"logits"};
  auto outputs = session.Run(Ort::RunOptions{}, input_names.data(), inputs.data(), inputs.size(),
                             output_names, 1);
  const float* logits = outputs[0].GetTensorData<float>();
  const size_t n_logits = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();

  auto labels = session.GetModelMetadata().LookupCustomMetadataMapAllocated("labels", allocator);
  std::cout << "{\"labels\": " << (labels ? labels.get() : "null") << ", \"logits\": [";
  for (size_t n = 0; n < n_logits; ++n) std::cout << (n ? ", " : "") << logits[n];
  std::cout << "]}" << std::endl;
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
